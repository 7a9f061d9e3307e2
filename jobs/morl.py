"""The `morl` stage: mixed on-policy RL from the SFT model, on a Ray cluster or a local Ray. `python -m jobs.morl`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.runtime import num_threads, ray_address, reward_port, reward_token, run_stage, set_ray_environment
from jobs.stage_context import StageContext
from mimo_vl.observability.metrics import UPDATES
from mimo_vl.rewards.verifiers.custom import load_custom_verifier
from mimo_vl.rl.checkpoint import RunLog, newest_verified
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.manifest import FileEntry, InputRef
from mimo_vl.storage.attempt_files import AttemptFiles
from mimo_vl.storage.layout import CHECKPOINTS_DIR, step_dir
from mimo_vl.storage.upload import join_entries
from mimo_vl.vocabulary import RewardTask, StageName

REWARD_STAGES = {
    RewardTask.PREFERENCE_TEXT: StageName.REWARD_MODEL_TEXT,
    RewardTask.PREFERENCE_MULTIMODAL: StageName.REWARD_MODEL_MULTIMODAL,
}


@dataclass(frozen=True)
class ContextLink:
    """The driver's view of the stage."""

    ctx: StageContext

    def checkpoint_folder(self, step: int) -> Path:
        folder = self.ctx.checkpoint_dir / step_dir(step)
        # Left by an attempt that died while it was writing.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def seal_checkpoint(self, step: int, files: tuple[FileEntry, ...]) -> None:
        written = [entry.path for entry in files]
        own = self.ctx.files.upload(CHECKPOINTS_DIR, step_dir(step), exclude=written)
        keep = self.ctx.config.rl.checkpoint.keep_last
        self.ctx.seal_checkpoint(step, join_entries([files, own]), keep=keep)

    def checkpoint_uri(self, checkpoint: Path) -> str:
        return self.ctx.checkpoint_uri(checkpoint)

    def add_output(self, files: tuple[FileEntry, ...]) -> None:
        self.ctx.add_output(files)

    def reward_service_ready(self, url: str) -> None:
        self.ctx.shown.forward(f"{url}/metrics")

    def report_nodes(self, values: Mapping[str, float], index: int) -> None:
        self.ctx.tracker.log_metrics(values, index)

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        self.ctx.shown.record({UPDATES.name: float(step)})
        self.ctx.tracker.log_metrics(metrics, step)
        self.ctx.progress(step, self.ctx.config.rl.num_steps, reward=metrics.get("rl/reward", 0.0))

    def should_stop(self) -> bool:
        return self.ctx.should_stop()


def main(ctx: StageContext) -> Mapping[str, float]:
    set_ray_environment()
    # Ray reads its environment when it is imported.
    from mimo_vl.rl.actors.session import MorlSession, RayAccess

    address = ray_address()
    access = RayAccess(reward_token=reward_token())
    if address:
        access = RayAccess(address=address, reward_token=access.reward_token, host="0.0.0.0", port=reward_port())
    # A replica of the reward service that cannot be built would be started again and again.
    load_custom_verifier(ctx.config.rewards)
    for stage in REWARD_STAGES.values():
        ctx.require_input(stage)
    with tempfile.TemporaryDirectory(prefix="mimo-morl-") as folder:
        session = MorlSession(
            # On one machine all processes use one folder that goes with the stage.
            settings=_worker_settings(ctx, address, ctx.files.scratch if address else partial(Path, folder)),
            rewards=ctx.config.rewards,
            reward_models={
                task: partial(_find_model, ctx.files, ctx.inputs[stage]) for task, stage in REWARD_STAGES.items()
            },
            seed=ctx.config.seed,
            access=access,
            node_metrics_interval_s=ctx.config.tracking.system_metrics_interval_s,
        )
        return session.run(
            stage=ContextLink(ctx),
            log=RunLog(ctx.out_dir),
            checkpoint=newest_verified((ctx.checkpoint_dir, ctx.resume_from), ctx.stage_key),
        )


def _worker_settings(ctx: StageContext, address: str, scratch: Callable[[], Path]) -> WorkerSettings:
    rl, threads = ctx.config.rl, num_threads()
    return WorkerSettings(
        files=ctx.files,
        policy=ctx.require_input(StageName.LONG_CONTEXT_SFT),
        prompts=ctx.require_input(StageName.CURATE_RL),
        rl=rl,
        processing=ctx.config.processing,
        scratch=scratch,
        # Workers of a cluster have nodes of their own; those of one machine share its cores.
        rollout_threads=threads if address else max(1, threads // rl.num_rollout_workers),
        trainer_threads=threads if address else max(1, threads // rl.num_trainer_workers),
    )


def _find_model(files: AttemptFiles, ref: InputRef) -> Path:
    return files.materialise(ref) / "model"


if __name__ == "__main__":
    sys.exit(run_stage(main))
