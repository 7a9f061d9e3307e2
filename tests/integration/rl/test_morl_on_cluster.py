"""The `morl` stage on a Ray cluster of nodes without a shared disk: stopped and continued, it equals one machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimo_vl.config.compose import compose, dump_config
from mimo_vl.config.storage import StorageConfig
from mimo_vl.free_port import free_port
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.manifest import InputRef, Manifest
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.checkpoints import complete_steps
from mimo_vl.storage.layout import attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.vocabulary import RlFamily, StageName
from tests.fakes.ray_nodes import POD_ENVIRONMENT, ray_nodes
from tests.fakes.rl_world import build_rl_world

# Three starts of MORL take minutes: it runs with the end-to-end tests, though it needs no Kubernetes.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RUN_ID = "team/demo/abcd1234"
NUM_STEPS = 4
OVERRIDES = (
    "tracking.kind='null'",
    "processing.min_pixels=784",
    "processing.max_pixels=50176",
    "rl.prompts_per_step=3",
    "rl.group_size=4",
    f"rl.num_steps={NUM_STEPS}",
    "rl.max_new_tokens=8",
    "rl.num_micro_batches=2",
    "rl.num_rollout_workers=2",
    "rl.call_timeout_s=300",
    "rl.checkpoint={every_steps:1,keep_last:1}",
    # Every other family has no prompts here.
    "rl.family_weights={" + ",".join(f"{f}:{float(f is RlFamily.PREFERENCE_TEXT)}" for f in RlFamily) + "}",
)


def _start(
    folder: Path, store: ArtifactStore, inputs: dict[str, InputRef], attempt: int, storage: list[str], **environ: str
) -> subprocess.Popen[bytes]:
    config_path = folder / f"{type(store).__name__}.yaml"
    config_path.write_text(dump_config(compose("tiny", [*OVERRIDES, *storage])))
    earlier = attempt_prefix(RUN_ID, StageName.MORL, attempt - 1)
    env = StageEnvironment(
        namespace="team",
        pipeline="demo",
        run_id=RUN_ID,
        stage=StageName.MORL,
        attempt=attempt,
        config_path=config_path,
        inputs={
            StageName.LONG_CONTEXT_SFT: inputs["policy"],
            StageName.CURATE_RL: inputs["prompts"],
            StageName.REWARD_MODEL_TEXT: inputs["reward"],
            StageName.REWARD_MODEL_MULTIMODAL: inputs["reward"],
        },
        output_uri=store.uri(attempt_prefix(RUN_ID, StageName.MORL, attempt)),
        stage_key="sha256:key",
        resume_from_uri=store.uri(f"{earlier}/checkpoints") if attempt > 1 else "",
    )
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.launch", "--nproc", "1", "--", "jobs.morl"],
        env=dict(os.environ) | env.to_environ() | {"OMP_NUM_THREADS": "1"} | environ,
        cwd=Path(__file__).parents[3],
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _manifest(store: ArtifactStore, attempt: int) -> Manifest:
    return read_manifest(store, attempt_prefix(RUN_ID, StageName.MORL, attempt))


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray puts sockets below it: their paths may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="mt"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_stopped_and_continued_on_a_cluster_equals_one_machine(
    store: ArtifactStore, config: StorageConfig, tmp_path: Path, short_folder: Path
) -> None:
    world = build_rl_world(tmp_path / "world")
    local = LocalStore(tmp_path / "store")
    whole = _start(tmp_path, local, world.publish(local), 1, [])
    try:
        assert whole.wait(400) == 0
    finally:
        _end(whole)

    storage = ["storage.kind=s3", f"storage.uri={store.uri()}", f"storage.endpoint='{config.endpoint}'"]
    storage.append("storage.secure=false")
    inputs = world.publish(store)
    attempt_1 = attempt_prefix(RUN_ID, StageName.MORL, 1)
    with ray_nodes(short_folder, {"OMP_NUM_THREADS": "1"}) as address:
        pod = {**POD_ENVIRONMENT, "RAY_ADDRESS": address, "MIMO_REWARD_PORT": str(free_port())}
        pod |= {"MIMO_REWARD_TOKEN": "reward-token-1234"}
        first = _start(tmp_path, store, inputs, 1, storage, **pod, MIMO_SCRATCH=str(short_folder / "scratch/head"))
        try:
            deadline_s = time.monotonic() + 300
            while not complete_steps(store, f"{attempt_1}/checkpoints"):
                assert first.poll() is None, "MORL ended before its first checkpoint"
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
            first.send_signal(signal.SIGTERM)
            assert first.wait(120) == 75
        finally:
            _end(first)
        steps = complete_steps(store, f"{attempt_1}/checkpoints")
        assert len(steps) == 1
        assert steps[0] < NUM_STEPS
        # The same cluster again, though the operator would make a new one.
        second = _start(tmp_path, store, inputs, 2, storage, **pod, MIMO_SCRATCH=str(short_folder / "scratch/head-2"))
        try:
            assert second.wait(300) == 0
        finally:
            _end(second)
        artifacts = {
            node: {p.name for p in (short_folder / "scratch" / node / "artifacts").iterdir() if p.is_dir()}
            for node in ("trainer", "rollout", "rollout-2", "reward")
        }
    policy, prompts, reward = (inputs[n].digest.removeprefix("sha256:") for n in ("policy", "prompts", "reward"))
    # Each node fetched what its actors read.
    assert artifacts["trainer"] == artifacts["rollout"] == artifacts["rollout-2"] == {policy, prompts}
    assert artifacts["reward"] == {reward}
    assert _manifest(store, 2).content_digest == _manifest(local, 1).content_digest
    assert {"metrics.jsonl", "rollouts.jsonl", "model/MLmodel"} < {f.path for f in _manifest(store, 2).files}
