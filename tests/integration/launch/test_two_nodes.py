"""A training stage on two nodes without a shared disk equals one node, also if one of them was killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimo_vl.config.compose import compose, dump_config
from mimo_vl.config.storage import StorageConfig
from mimo_vl.free_port import free_port
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.manifest import CheckpointRecord, InputRef, Manifest
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.checkpoints import complete_steps
from mimo_vl.storage.layout import attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.vocabulary import StageName
from tests.fakes.training_world import OVERRIDES, publish_training_inputs

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

RUN_ID = "team/demo/abcd1234"
STAGE = StageName.PROJECTOR_WARMUP
NUM_STEPS = 12


class Stage:
    """Starts launchers of one stage whose store is `store`."""

    def __init__(self, folder: Path, store: ArtifactStore, inputs: dict[str, InputRef], storage: list[str]) -> None:
        self.folder, self.store, self.inputs = folder, store, inputs
        self.config_path = folder / f"{type(store).__name__}.yaml"
        overrides = [*OVERRIDES, f"stages.{STAGE}.num_steps={NUM_STEPS}", *storage]
        self.config_path.write_text(dump_config(compose("tiny", overrides)))
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, attempt: int, *, nproc: int, **node: str) -> subprocess.Popen[bytes]:
        resume = self.store.uri(f"{attempt_prefix(RUN_ID, STAGE, attempt - 1)}/checkpoints") if attempt > 1 else ""
        env = StageEnvironment(
            namespace="team",
            pipeline="demo",
            run_id=RUN_ID,
            stage=STAGE,
            attempt=attempt,
            config_path=self.config_path,
            inputs=self.inputs,
            output_uri=self.store.uri(attempt_prefix(RUN_ID, STAGE, attempt)),
            stage_key="sha256:key",
            resume_from_uri=resume,
        )
        # Every node of every attempt is another machine.
        scratch = self.folder / f"scratch-{attempt}-{node.get('PET_NODE_RANK', '0')}"
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs.launch", "--nproc", str(nproc), "--", "jobs.train"],
            env=dict(os.environ) | env.to_environ() | node | {"MIMO_SCRATCH": str(scratch), "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[3],
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def start_nodes(self, attempt: int) -> list[subprocess.Popen[bytes]]:
        """Two nodes of one rank each."""
        group = {"PET_NNODES": "2", "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port())}
        return [self.start(attempt, nproc=1, **group, PET_NODE_RANK=str(rank)) for rank in range(2)]

    def manifest(self, attempt: int) -> Manifest:
        return read_manifest(self.store, attempt_prefix(RUN_ID, STAGE, attempt))

    def checkpoints(self, attempt: int) -> str:
        return f"{attempt_prefix(RUN_ID, STAGE, attempt)}/checkpoints"


@pytest.fixture
def stages(store: ArtifactStore, config: StorageConfig, tmp_path: Path) -> Iterator[tuple[Stage, Stage]]:
    """(on a folder, on S3)."""
    local = LocalStore(tmp_path / "store")
    inputs = publish_training_inputs(tmp_path / "made", [local, store])
    remote = ["storage.kind=s3", f"storage.uri={store.uri()}", f"storage.endpoint='{config.endpoint}'"]
    pair = (
        Stage(tmp_path, local, inputs[0], []),
        Stage(tmp_path, store, inputs[1], [*remote, "storage.secure=false"]),
    )
    yield pair
    for process in (process for stage in pair for process in stage.started):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_two_nodes_killed_and_continued_equal_one_node(stages: tuple[Stage, Stage], tmp_path: Path) -> None:
    on_folder, on_s3 = stages
    first, second = on_s3.start_nodes(1)
    deadline_s = time.monotonic() + 240
    while not complete_steps(on_s3.store, on_s3.checkpoints(1)):
        assert first.poll() is None, "the stage ended before its first checkpoint"
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    second.kill()
    assert (first.wait(120), second.wait()) == (1, -9)
    steps = complete_steps(on_s3.store, on_s3.checkpoints(1))
    assert steps[-1] < NUM_STEPS
    marker, _ = on_s3.store.get_bytes(f"{on_s3.checkpoints(1)}/step-{steps[-1]}/complete.json")
    names = {entry.path for entry in CheckpointRecord.from_json(marker).files}
    # Rank 0 wrote on one node, rank 1 on the other.
    assert {"trainer.json", "random-rank-0.json", "random-rank-1.json"} < names
    assert not (tmp_path / "scratch-1-0" / on_s3.checkpoints(1) / f"step-{steps[-1]}").exists()

    whole = on_folder.start(1, nproc=2)
    assert [node.wait(240) for node in on_s3.start_nodes(2)] == [0, 0]
    assert whole.wait(240) == 0
    # Another machine each, so each fetched the checkpoint.
    for rank in range(2):
        assert list((tmp_path / f"scratch-2-{rank}" / "resume").rglob("complete.json"))
    assert on_s3.manifest(2).content_digest == on_folder.manifest(1).content_digest
    # The log of each pod outlives it.
    for rank in range(2):
        log, _ = on_s3.store.get_bytes(f"{attempt_prefix(RUN_ID, STAGE, 2)}/logs/node-{rank}.log")
        assert b"resumed step=%d" % steps[-1] in log
    # keep_last is 1: older checkpoints are gone from either store.
    assert len(complete_steps(on_folder.store, on_folder.checkpoints(1))) == 1
    assert len(complete_steps(on_s3.store, on_s3.checkpoints(2))) == 1
