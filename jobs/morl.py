"""The `morl` stage: mixed on-policy RL from the SFT model on local Ray. `python -m jobs.morl`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.runtime import run_stage, set_ray_environment
from jobs.stage_context import StageContext
from mimo_vl.rl.checkpoint import RunLog, newest_verified
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.storage.layout import step_dir
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

    def seal_checkpoint(self, step: int) -> None:
        self.ctx.complete_checkpoint(step, keep=self.ctx.config.rl.checkpoint.keep_last)

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        self.ctx.tracker.log_metrics(metrics, step)
        self.ctx.progress(step, self.ctx.config.rl.num_steps, reward=metrics.get("rl/reward", 0.0))

    def should_stop(self) -> bool:
        return self.ctx.should_stop()


def main(ctx: StageContext) -> Mapping[str, float]:
    set_ray_environment()
    # Ray reads its environment when it is imported.
    from mimo_vl.rl.actors.session import MorlSession

    rl, cores = ctx.config.rl, len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="mimo-morl-") as scratch:
        settings = WorkerSettings(
            policy_dir=(ctx.input_dir(StageName.LONG_CONTEXT_SFT) / "model").resolve(),
            datasets_dir=(ctx.input_dir(StageName.CURATE_RL) / "datasets").resolve(),
            rl=rl,
            processing=ctx.config.processing,
            scratch_dir=Path(scratch),
            rollout_threads=max(1, cores // rl.num_rollout_workers),
            trainer_threads=max(1, cores // rl.num_trainer_workers),
        )
        reward_models = {task: (ctx.input_dir(stage) / "model").resolve() for task, stage in REWARD_STAGES.items()}
        session = MorlSession(
            settings=settings, rewards=ctx.config.rewards, reward_model_dirs=reward_models, seed=ctx.config.seed
        )
        return session.run(
            stage=ContextLink(ctx),
            log=RunLog(ctx.out_dir),
            checkpoint=newest_verified((ctx.checkpoint_dir, ctx.resume_from), ctx.stage_key),
            export_dir=ctx.out_dir / "model",
        )


if __name__ == "__main__":
    sys.exit(run_stage(main))
