"""The launcher with real rank processes: exit codes, messages, signals, orphans, claims."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mimo_vl.config.compose import compose, dump_config
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.manifest import ExitRecord, InputRef
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.local import LocalStore
from mimo_vl.storage.pointer import read_pointer
from mimo_vl.vocabulary import StageName

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

RUN_ID = "local/demo/abcd1234"
STAGE = f"runs/{RUN_ID}/base"
PROBE = "tests.integration.launch.probe_job"


class Launch:
    """Starts launchers on one attempt and looks at what they leave."""

    def __init__(self, folder: Path) -> None:
        self.store = LocalStore(folder / "store")
        self.attempt = f"{STAGE}/attempt-1"
        self.folder = folder / "store" / self.attempt
        self.config_path = folder / "config.yaml"
        self.config_path.write_text(dump_config(compose("tiny")))
        self.started: list[subprocess.Popen[str]] = []

    def start(self, behaviour: str, *, nproc: int = 2, grace_s: str = "20", **changes: str) -> subprocess.Popen[str]:
        env = StageEnvironment(
            namespace="local",
            pipeline="demo",
            run_id=RUN_ID,
            stage=StageName.BASE,
            attempt=1,
            config_path=self.config_path,
            output_uri=self.store.uri(self.attempt),
            stage_key="sha256:key",
            inputs={"nothing": InputRef(uri="file:///nowhere", digest="sha256:0")},
        )
        command = [sys.executable, "-m", "jobs.launch", "--nproc", str(nproc)]
        process = subprocess.Popen(
            [*command, "--", PROBE, behaviour],
            env=dict(os.environ) | env.to_environ() | {"MIMO_GRACE_S": grace_s} | changes,
            cwd=Path(__file__).parents[3],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def record(self) -> ExitRecord:
        return ExitRecord.from_json((self.folder / "exit.json").read_bytes())

    def pid(self, name: str) -> int:
        eventually(lambda: (self.folder / f"pid-{name}").is_file() and (self.folder / f"pid-{name}").read_text() != "")
        return int((self.folder / f"pid-{name}").read_text())


def eventually(claim: Callable[[], bool], deadline_s: float = 30.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not claim():
        assert time.monotonic() < end_s, "did not come true in time"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    launch = Launch(tmp_path)
    yield launch
    for process in launch.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def test_a_good_stage_is_published_once_and_its_record_says_so(launch: Launch) -> None:
    assert launch.start("publish").wait() == 0
    manifest = read_manifest(launch.store, launch.attempt)
    assert [f.path for f in manifest.files] == ["answer.txt"]
    assert manifest.metrics == {"loss_last": 0.5}
    assert manifest.stage_key == "sha256:key"
    pointer = read_pointer(launch.store, STAGE)
    assert pointer is not None
    assert (pointer.attempt, pointer.content_digest) == (1, manifest.content_digest)
    record = launch.record()
    assert (record.exit_code, record.rank_exit_codes, record.reason) == (0, {"0": 0, "1": 0}, "Completed")
    # Two Python interpreters hold more than 10 MB and less than 2 GB.
    assert 10_000_000 < record.peak_pss_bytes < 2_000_000_000
    progress = json.loads((launch.folder / "progress.json").read_text())
    assert (progress["step"], progress["metrics"]) == (3, {"loss": 0.5})


def test_a_second_process_of_the_same_attempt_writes_nothing_and_exits_75(launch: Launch) -> None:
    first = launch.start("wait")
    launch.pid("0"), launch.pid("1")
    before = sorted(p.name for p in launch.folder.rglob("*"))
    second = launch.start("publish")
    _, stderr = second.communicate()
    assert second.returncode == 75
    assert f"is claimed by pid {first.pid}" in stderr
    assert sorted(p.name for p in launch.folder.rglob("*")) == before
    assert first.poll() is None


def test_bad_input_of_one_rank_is_exit_2_with_its_message(launch: Launch) -> None:
    process = launch.start("bad-input")
    _, stderr = process.communicate()
    assert process.returncode == 2
    record = launch.record()
    assert (record.reason, record.message) == ("InputError", "sample 7 has no image; add one")
    assert stderr.count("sample 7 has no image; add one") == 1
    assert not (launch.folder / "manifest.json").exists()


def test_a_rank_that_dies_takes_the_others_with_it_and_counts_as_a_failure(launch: Launch) -> None:
    assert launch.start("die").wait() == 1
    record = launch.record()
    # Rank 0 saved when it was told to end; that does not make the death of rank 1 an interruption.
    assert record.rank_exit_codes == {"0": 75, "1": -9}
    assert (record.reason, record.message) == (
        "Killed",
        "rank 1 was ended by SIGKILL (the kernel does so when memory runs out)",
    )


def test_two_nodes_are_one_group_and_only_the_first_claims_and_reports(launch: Launch) -> None:
    nodes = {"PET_NNODES": "2", "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": "29500"}
    first = launch.start("publish", nproc=1, **nodes, PET_NODE_RANK="0")
    second = launch.start("publish", nproc=1, **nodes, PET_NODE_RANK="1")
    assert (first.wait(), second.wait()) == (0, 0)
    assert launch.pid("0") != launch.pid("1")
    assert launch.record().rank_exit_codes == {"0": 0}
    assert [f.path for f in read_manifest(launch.store, launch.attempt).files] == ["answer.txt"]


def test_memory_that_runs_out_is_named(launch: Launch) -> None:
    assert launch.start("out-of-memory", nproc=1).wait() == 1
    assert launch.record().reason == "OOMKilled"


def test_sigterm_is_forwarded_and_a_stage_that_saved_exits_75(launch: Launch) -> None:
    process = launch.start("wait")
    launch.pid("0"), launch.pid("1")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    record = launch.record()
    assert record.rank_exit_codes == {"0": 75, "1": 75}
    assert record.message == "saved step 4"


def test_ranks_that_ignore_sigterm_are_killed_after_the_grace_time(launch: Launch) -> None:
    process = launch.start("ignore-sigterm", grace_s="0.5")
    eventually(lambda: all((launch.folder / f"ignoring-{rank}").exists() for rank in range(2)))
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    assert launch.record().rank_exit_codes == {"0": -9, "1": -9}
    assert launch.record().reason == "Interrupted"


def test_the_pid_file_leads_to_the_launcher_as_long_as_it_runs_and_sigterm_may_come_twice(
    launch: Launch, tmp_path: Path
) -> None:
    pid_file = tmp_path / "mimo" / "driver.pid"
    process = launch.start("wait", MIMO_DRIVER_PID_FILE=str(pid_file))
    launch.pid("0"), launch.pid("1")
    assert int(pid_file.read_text()) == process.pid
    for _ in range(2):
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
    assert process.wait() == 75
    assert not pid_file.exists()
    assert [p.name for p in pid_file.parent.iterdir()] == []


def test_the_ranks_die_with_a_killed_launcher(launch: Launch) -> None:
    process = launch.start("ignore-sigterm")
    pids = [launch.pid("0"), launch.pid("1")]
    process.kill()
    process.wait()
    eventually(lambda: all(is_gone(pid) for pid in pids))


def test_no_orphan_is_left_behind(launch: Launch) -> None:
    assert launch.start("orphan", nproc=1).wait() == 0
    assert is_gone(launch.pid("orphan"))


def test_a_wrong_configuration_ends_before_any_rank_starts(launch: Launch) -> None:
    values = launch.config_path.read_text().replace("\nseed:", "\nsede: 1\nseed:")
    launch.config_path.write_text(values)
    assert launch.start("publish").wait() == 2
    assert "sede: unknown key" in launch.record().message
    assert not (launch.folder / "pid-0").exists()


def test_missing_variables_are_all_named(launch: Launch) -> None:
    process = launch.start("publish", MIMO_STAGE="", MIMO_OUTPUT="")
    _, stderr = process.communicate()
    assert process.returncode == 2
    assert "MIMO_STAGE, MIMO_OUTPUT not set" in stderr
    assert not launch.folder.exists()
