"""Answers come in the order of the prompts, whoever gave them; jobs that nobody waits for are dropped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mimo_vl.rl.answer_pool import Answerer, answer_pool
from mimo_vl.schema.rollout import SamplingParams
from tests.fakes.answering import FakeEncoder, FakeEngine
from tests.fakes.rl_world import write_prompts

NUM_PROMPTS = 230
PARAMS = SamplingParams(temperature=1.0, max_new_tokens=4, num_samples=2, seed=0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts") / "rl-text"
    write_prompts(folder, ["add"], NUM_PROMPTS)
    return folder


def answerer(*engines: FakeEngine) -> Answerer:
    loaders = {f"model-{number}": lambda engine=engine: engine for number, engine in enumerate(engines)}
    return Answerer(load_engines=loaders, encoder=FakeEncoder())  # type: ignore[arg-type]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_answers_are_in_order_and_those_of_the_model_that_was_asked(dataset: Path, num_workers: int) -> None:
    engines = FakeEngine(lambda name, g: f"a {name} {g}"), FakeEngine(lambda name, g: f"b {name} {g}")
    with answer_pool(answerer(*engines), num_workers=num_workers) as pool:
        asked = [pool.submit(f"model-{number}", dataset, PARAMS) for number in (1, 0)]
        found = [[texts for part in parts for texts in part] for parts in asked]
    for letter, texts in zip("ba", found, strict=True):
        assert texts == [[f"{letter} prompt-{i} {g}" for g in range(2)] for i in range(NUM_PROMPTS)]


def test_two_workers_are_other_processes_and_are_gone_afterwards(dataset: Path) -> None:
    engine = FakeEngine(lambda *_: str(os.getpid()))
    with answer_pool(answerer(engine), num_workers=2) as pool:
        pids = {int(texts[0]) for part in pool.submit("model-0", dataset, PARAMS) for texts in part}
    assert os.getpid() not in pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_each_worker_prepares_itself(dataset: Path, tmp_path: Path) -> None:
    def start() -> None:
        (tmp_path / str(os.getpid())).touch()

    engine = FakeEngine(lambda *_: str(os.getpid()))
    with answer_pool(answerer(engine), num_workers=2, start_worker=start) as pool:
        pids = {texts[0] for part in pool.submit("model-0", dataset, PARAMS) for texts in part}
    assert pids <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_what_goes_wrong_reaches_the_caller(dataset: Path, num_workers: int) -> None:
    engine = FakeEngine(lambda *_: "", broken=frozenset({"prompt-150"}))
    with (
        pytest.raises(RuntimeError, match="cannot answer"),
        answer_pool(answerer(engine), num_workers=num_workers) as pool,
    ):
        list(pool.submit("model-0", dataset, PARAMS))


def test_nothing_is_asked_before_its_answer_is_wanted_in_one_process(dataset: Path) -> None:
    engine = FakeEngine(lambda *_: "")
    with answer_pool(answerer(engine), num_workers=1) as pool:
        parts = pool.submit("model-0", dataset, PARAMS)
        assert engine.batches == []
        next(parts)
    assert len(engine.batches) == 1
