"""Does a training stage whose processes are killed end with the weights of one that was left alone?

`mimo run`, the launcher, two ranks and the trainer are the real ones; model, data and number of steps are small.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from mimo_vl.data.synthesis.catalogue import RL, TRAINING
from mimo_vl.schema.manifest import Manifest
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.checkpoints import newest_complete
from mimo_vl.storage.layout import CHECKPOINTS_DIR, MANIFEST, attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import StageState, StageStatus
from operators.mimo_pipeline.local.children import Child, ChildRecords, is_same_process
from operators.mimo_pipeline.local.state import RunFolder

# Seconds on an idle machine; a busy one needs minutes to load torch on two ranks.
_DEADLINE_S = 420.0
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(4 * _DEADLINE_S)]

ROOT = Path(__file__).parents[3]
STAGE = StageName.PROJECTOR_WARMUP
# Many steps after the first checkpoint, so that a test on a busy machine still comes in the middle.
NUM_STEPS, CHECKPOINT_EVERY, NUM_RANKS = 24, 4, 2


def _each(names: Iterable[str], count: int, **others: int) -> str:
    return "{" + ",".join(f"{name}:{others.get(name, count)}" for name in names) + "}"


_VISION = "{depth:2,hidden_size:64,num_heads:2,intermediate_size:128,full_attention_blocks:[1]}"
_LANGUAGE = (
    "{num_layers:2,hidden_size:64,num_heads:2,num_kv_heads:1,head_dim:32,intermediate_size:128,vocab_size:0,"
    "rope_theta:100.0,mrope_section:[2,6,8],tie_word_embeddings:true,max_position_embeddings:1024}"
)
_OVERRIDES = (
    "tracking.kind='null'",
    f"model.vision={_VISION}",
    f"model.language={_LANGUAGE}",
    "base.vision_steps=2",
    "base.vision_batch_size=4",
    "base.language_steps=2",
    # The stage reads captions; the rest is there because a data set is never empty.
    f"data.synthesis.samples_per_type={_each(TRAINING, 8, caption=64)}",
    f"data.synthesis.heldout_per_type={_each(TRAINING, 2, caption=8)}",
    f"data.synthesis.rl_prompts_per_family={_each(RL, 2)}",
    "data.synthesis.preference_queries=4",
    "data.synthesis.eval_items_rl_family=2",
    "data.synthesis.eval_items_other=2",
    f"stages.{STAGE}.num_steps={NUM_STEPS}",
    f"stages.{STAGE}.sequence_length=256",
    f"stages.{STAGE}.heldout_samples=8",
    f"stages.{STAGE}.checkpoint.every_steps={CHECKPOINT_EVERY}",
    f"stages.{STAGE}.parallelism.num_ranks={NUM_RANKS}",
)


class Run:
    """A run folder and the `mimo run` processes that work on it."""

    def __init__(self, run_dir: Path) -> None:
        self.folder = RunFolder(run_dir)
        self.output = run_dir.with_suffix(".txt")
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, through: StageName = STAGE) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "jobs.cli", "run", "--profile", "tiny", "--run-dir", str(self.folder.path)]
        command += ["--through", through, *(part for text in _OVERRIDES for part in ("--override", text))]
        with self.output.open("ab") as sink:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, "DS_ACCELERATOR": "cpu"}, stdout=sink, stderr=subprocess.STDOUT
            )
        self._processes.append(process)
        return process

    def finish(self, through: StageName = STAGE) -> None:
        assert self.start(through).wait(_DEADLINE_S) == 0, self.evidence()

    def status(self) -> StageStatus:
        return self.folder.load().status.stage(STAGE)

    def children(self) -> list[Child]:
        pipeline = self.folder.load()
        return [c for c in ChildRecords(self.folder.children_path(pipeline.metadata.uid)).all() if c.stage == STAGE]

    def attempt_dir(self, attempt: int) -> Path:
        return self.folder.store_path / attempt_prefix(self.folder.load().run_id, STAGE, attempt)

    def log(self, attempt: int) -> str:
        return self.folder.log_path(self.folder.load().metadata.uid, STAGE, attempt).read_text()

    def manifest(self, attempt: int) -> Manifest:
        return read_manifest(LocalStore(self.attempt_dir(attempt)), "")

    def checkpointed_step(self, attempt: int) -> int:
        newest = newest_complete(self.attempt_dir(attempt) / CHECKPOINTS_DIR)
        return int(newest.name.removeprefix("step-")) if newest else 0

    def evidence(self) -> str:
        logs = sorted((self.folder.path / "logs").rglob("*.log"))
        return "\n".join(f"{f.name}:\n{f.read_text()[-2000:]}" for f in [self.output, *logs])

    def start_and_wait_for_a_checkpoint(self) -> tuple[subprocess.Popen[bytes], int]:
        """`mimo run` and the pid of the launcher, whose group is frozen in the middle of the stage."""
        process = self.start()
        self.until(lambda: self.folder.load_or_none() is not None and self._works_on_the_stage(), process)
        launcher = self.children()[-1].pid
        checkpoints = self.attempt_dir(1) / CHECKPOINTS_DIR
        self.until(lambda: newest_complete(checkpoints) is not None, process)
        # Frozen, so that the stage cannot end before the test goes on.
        signal_group(launcher, signal.SIGSTOP)
        assert not (self.attempt_dir(1) / MANIFEST).exists(), "the stage ended before it could be interrupted"
        return process, launcher

    def until(self, is_true: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        """Wait while `process` lives."""
        end_s = time.monotonic() + _DEADLINE_S
        while not is_true():
            assert process.poll() is None, f"mimo run ended with {process.returncode}\n{self.evidence()}"
            assert time.monotonic() < end_s, f"did not happen in time\n{self.evidence()}"
            time.sleep(0.02)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for child in self.children() if self.folder.load_or_none() else []:
            if is_same_process(child.pid, child.started_at_s):
                signal_group(child.pid, signal.SIGKILL)

    def _works_on_the_stage(self) -> bool:
        names = {stage.name for stage in self.folder.load().status.stages}
        return STAGE in names and any(child.pid for child in self.children())


def signal_group(launcher: int, number: signal.Signals) -> None:
    assert os.getpgid(launcher) == launcher != os.getpgrp(), "the launcher must lead a group of its own"
    os.killpg(launcher, number)


def kill_launcher_group(launcher: int) -> None:
    """SIGKILL for the launcher and its ranks; none of them is left afterwards."""
    ranks = {rank.pid: rank.create_time() for rank in psutil.Process(launcher).children()}
    assert len(ranks) == NUM_RANKS
    signal_group(launcher, signal.SIGKILL)
    end_s = time.monotonic() + 30.0
    while any(is_same_process(pid, started_at_s) for pid, started_at_s in ranks.items()):
        assert time.monotonic() < end_s, f"ranks outlived SIGKILL: {sorted(ranks)}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run folder with base and curate done: copies of it reuse both by their keys."""
    run = Run(tmp_path_factory.mktemp("curated") / "curated")
    try:
        run.finish(StageName.CURATE)
        yield run.folder.path
    finally:
        run.close()


@pytest.fixture(scope="module")
def undisturbed(curated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manifest]:
    """What the stage gives when nobody interrupts it."""
    run = Run(shutil.copytree(curated, tmp_path_factory.mktemp("undisturbed") / "demo"))
    try:
        run.finish()
        assert run.status().attempt == 1
        assert "resumed step=" not in run.log(1)
        yield run.manifest(1)
    finally:
        run.close()


@pytest.fixture
def run(curated: Path, tmp_path: Path) -> Iterator[Run]:
    run = Run(shutil.copytree(curated, tmp_path / "demo"))
    yield run
    run.close()


def assert_same_artifact(found: Manifest, wanted: Manifest) -> None:
    assert {f.path: f.sha256 for f in found.files} == {f.path: f.sha256 for f in wanted.files}
    assert "model/model.safetensors" in {f.path for f in found.files}
    assert (found.content_digest, found.stage_key) == (wanted.content_digest, wanted.stage_key)


def assert_second_attempt_resumed(run: Run) -> None:
    """Attempt 2 began at the newest complete checkpoint of attempt 1, which published nothing."""
    assert not (run.attempt_dir(1) / MANIFEST).exists()
    resumed = {int(step) for step in re.findall(r"resumed step=(\d+)", run.log(2))}
    assert resumed == {run.checkpointed_step(1)}
    assert 0 < min(resumed) < NUM_STEPS
    status = run.status()
    assert (status.state, status.attempt, status.failures) == (StageState.SUCCEEDED, 2, 1)
    assert [child.attempt for child in run.children()] == [1, 2]


def test_killing_mimo_run_and_the_launcher_group_and_running_again_gives_the_same_weights(
    run: Run, undisturbed: Manifest
) -> None:
    process, launcher = run.start_and_wait_for_a_checkpoint()
    process.kill()
    kill_launcher_group(launcher)
    assert process.wait() == -signal.SIGKILL
    run.finish()
    assert_second_attempt_resumed(run)
    assert_same_artifact(run.manifest(2), undisturbed)


def test_killing_the_launcher_group_alone_makes_the_same_mimo_run_start_a_second_attempt(
    run: Run, undisturbed: Manifest
) -> None:
    process, launcher = run.start_and_wait_for_a_checkpoint()
    kill_launcher_group(launcher)
    assert process.wait(_DEADLINE_S) == 0, run.evidence()
    assert_second_attempt_resumed(run)
    assert_same_artifact(run.manifest(2), undisturbed)


def test_killing_mimo_run_alone_leaves_the_stage_to_the_next_mimo_run(run: Run, undisturbed: Manifest) -> None:
    process, launcher = run.start_and_wait_for_a_checkpoint()
    process.kill()
    process.wait()
    run.output.unlink()
    successor = run.start()
    run.until(lambda: re.search(rf"{STAGE} \d+/{NUM_STEPS} steps", run.output.read_text()) is not None, successor)
    signal_group(launcher, signal.SIGCONT)
    assert successor.wait(_DEADLINE_S) == 0, run.evidence()
    assert [(child.attempt, child.pid) for child in run.children()] == [(1, launcher)]
    assert (run.status().state, run.status().attempt) == (StageState.SUCCEEDED, 1)
    assert "resumed step=" not in run.log(1)
    assert_same_artifact(run.manifest(1), undisturbed)
