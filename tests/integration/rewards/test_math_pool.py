"""Real worker processes: killed at the deadline, replaced when they die, limited in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from mimo_vl.answers.mathematics import MathVerdict
from mimo_vl.rewards.math_pool import MathPool

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

POISON = "9^{9^{9}}"


@pytest.fixture
def pool() -> Iterator[MathPool]:
    with MathPool(num_workers=1, deadline_s=2.0) as pool:
        yield pool


def _worker_pids() -> list[int]:
    children = psutil.Process().children()
    return [p.pid for p in children if any("math_worker" in part for part in p.cmdline())]


# What the guards let through can still hang: this one expands to ten thousand terms.
SLOW = r"x^{999}" + "".join(rf"(x+{n})^{{999}}" for n in range(12))


@pytest.mark.parametrize("answer", [POISON, SLOW], ids=["power tower", "expansion"])
def test_a_poison_answer_is_killed_at_the_deadline_and_the_next_call_is_answered(pool: MathPool, answer: str) -> None:
    assert pool.judge_in_worker("x+x", "2x") is MathVerdict.CORRECT
    (pid,) = _worker_pids()
    # Straight to the worker: the guards of `judge` would refuse the tower before.
    assert pool.judge_in_worker("8x", answer) is MathVerdict.TIMEOUT
    assert not psutil.pid_exists(pid)
    assert pool.judge_in_worker("x+x+x", "3x") is MathVerdict.CORRECT


def test_the_guards_refuse_a_poison_answer_without_any_worker(pool: MathPool) -> None:
    assert pool.judge("8", POISON) is MathVerdict.UNPARSABLE_ANSWER
    assert pool.num_symbolic_calls == 0


def test_a_worker_killed_mid_call_is_replaced_and_the_call_answered(pool: MathPool) -> None:
    assert pool.judge_in_worker("x+x", "2x") is MathVerdict.CORRECT
    (pid,) = _worker_pids()
    os.kill(pid, signal.SIGSTOP)  # so that the call is surely in progress when the kill comes
    killer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
    killer.start()
    assert pool.judge_in_worker("x+x+x", "3x") is MathVerdict.CORRECT
    killer.join()
    assert pool.num_restarts == 1
    assert pid not in _worker_pids()


def test_a_worker_that_hangs_is_killed_and_the_verdict_is_a_timeout_not_wrong(pool: MathPool) -> None:
    assert pool.judge_in_worker("x+x", "2x") is MathVerdict.CORRECT
    (pid,) = _worker_pids()
    os.kill(pid, signal.SIGSTOP)
    assert pool.judge_in_worker("x+x+x", "3x") is MathVerdict.TIMEOUT
    assert not psutil.pid_exists(pid)
    # A time-out is not remembered: asked again, the answer is known.
    assert pool.judge_in_worker("x+x+x", "3x") is MathVerdict.CORRECT


def test_verdicts_are_remembered(pool: MathPool) -> None:
    assert [pool.judge_in_worker("x+x", "2x") for _ in range(3)] == [MathVerdict.CORRECT] * 3
    assert pool.num_symbolic_calls == 1


def test_it_works_from_many_threads(pool: MathPool) -> None:
    with ThreadPoolExecutor(4) as threads:
        verdicts = list(threads.map(lambda n: pool.judge_in_worker(f"{n}y", f"y*{n}"), range(2, 10)))
    assert verdicts == [MathVerdict.CORRECT] * 8


def test_the_memory_of_a_worker_is_limited() -> None:
    with MathPool(deadline_s=20.0, memory_bytes=1024**3) as pool:
        assert pool.judge_in_worker("x+x", "2x") is MathVerdict.CORRECT
        (pid,) = _worker_pids()
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_AS) == (1024**3, 1024**3)


def test_closing_leaves_no_process_behind() -> None:
    pool = MathPool(deadline_s=5.0)
    assert pool.judge_in_worker("x+x", "2x") is MathVerdict.CORRECT
    assert len(_worker_pids()) == 1
    pool.close()
    assert _worker_pids() == []


@pytest.mark.parametrize(
    "module", ["mimo_vl.rewards.math_worker", "mimo_vl.rewards.router", "mimo_vl.rewards.service.client"]
)
def test_workers_routers_and_clients_load_no_torch(module: str) -> None:
    code = (
        f"import sys, {module}, mimo_vl.answers.symbolic\n"
        "print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_ingress_and_the_rule_worker_load_no_torch() -> None:
    code = (
        "import sys, mimo_vl.rewards.service.app, mimo_vl.rewards.service.ingress\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
