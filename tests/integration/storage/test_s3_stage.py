"""A whole stage whose store is a real S3 server: claim, checkpoint, resume, publish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import InterruptedAfterSaveError
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import materialise, read_manifest
from mimo_vl.storage.checkpoints import newest_complete, verify_checkpoint
from mimo_vl.storage.pointer import read_pointer
from mimo_vl.vocabulary import StageName

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

RUN_ID = "team/demo/abcd1234"
STAGE = f"runs/{RUN_ID}/base"


def _environ(store: ArtifactStore, config: StorageConfig, folder: Path, attempt: int) -> dict[str, str]:
    overrides = ["storage.kind=s3", f"storage.uri={store.uri()}", f"storage.endpoint='{config.endpoint}'"]
    composed = compose("tiny", [*overrides, "storage.secure=false", "storage.timeout_s=10.0"])
    (folder / "config.yaml").write_text(dump_config(composed))
    env = StageEnvironment(
        namespace="team",
        pipeline="demo",
        run_id=RUN_ID,
        stage=StageName.BASE,
        attempt=attempt,
        config_path=folder / "config.yaml",
        output_uri=store.uri(f"{STAGE}/attempt-{attempt}"),
        stage_key="sha256:key",
        resume_from_uri=store.uri(f"{STAGE}/attempt-{attempt - 1}/checkpoints") if attempt > 1 else "",
    )
    # Another scratch folder for each attempt: the next one runs on another machine.
    return env.to_environ() | {"MIMO_SCRATCH": str(folder / f"scratch-{attempt}")}


def test_a_stage_goes_on_where_an_earlier_attempt_on_another_machine_stopped(
    store: ArtifactStore, config: StorageConfig, tmp_path: Path
) -> None:
    def first(ctx: StageContext) -> Mapping[str, float]:
        ctx.tracker.log_metrics({"train/loss": 2.0}, 7)
        (ctx.checkpoint_dir / "step-7").mkdir()
        (ctx.checkpoint_dir / "step-7" / "state").write_text("seven")
        ctx.complete_checkpoint(7, keep=1)
        raise InterruptedAfterSaveError("saved step 7")

    def second(ctx: StageContext) -> Mapping[str, float]:
        assert ctx.resume_from is not None
        newest = newest_complete(ctx.resume_from)
        assert newest is not None
        verify_checkpoint(newest, stage_key=ctx.stage_key)
        (ctx.out_dir / "state").write_text((newest / "state").read_text())
        return {"loss_last": 1.0}

    assert run_stage(first, _environ(store, config, tmp_path, 1)) == 75
    assert store.exists(f"{STAGE}/attempt-1/journal/chunk-00000.jsonl")
    assert run_stage(second, _environ(store, config, tmp_path, 2)) == 0
    manifest = read_manifest(store, f"{STAGE}/attempt-2")
    pointer = read_pointer(store, STAGE)
    assert pointer is not None
    assert (pointer.attempt, pointer.uri) == (2, store.uri(f"{STAGE}/attempt-2"))
    folder = materialise(store, f"{STAGE}/attempt-2", tmp_path / "cache", manifest.content_digest)
    assert (folder / "state").read_text() == "seven"
    # A second process of the finished attempt.
    assert run_stage(second, _environ(store, config, tmp_path, 2)) == 75
