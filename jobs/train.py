"""One rank of a training stage: a pre-training stage or a reward model. Started by jobs.launch."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.storage.upload import join_entries
from mimo_vl.training.engine import start_distributed, stop_distributed
from mimo_vl.training.run_context import RunContext
from mimo_vl.training.world import World, current_world, gather_objects
from mimo_vl.vocabulary import PRETRAINING_STAGES


def main(ctx: StageContext) -> Mapping[str, float]:
    world = current_world(ctx.rank, ctx.world_size, ctx.local_rank, ctx.local_world_size)
    start_distributed(world)
    metrics = _train(run_context(ctx, world=world))
    stop_distributed()
    return metrics


def run_context(ctx: StageContext, *, world: World) -> RunContext:
    return RunContext(
        stage=ctx.stage,
        config=ctx.config,
        stage_key=ctx.stage_key,
        out_dir=ctx.out_dir,
        checkpoint_dir=ctx.checkpoint_dir,
        resume_from=ctx.resume_from,
        # Beside the checkpoints: every rank of a node sees it, and no other node writes into it.
        scratch_dir=ctx.checkpoint_dir.parent / f"node-{ctx.node_rank}",
        world=world,
        input_dir=ctx.input_dir,
        progress=ctx.progress,
        tracker=ctx.tracker,
        seal=lambda step, keep: _seal(ctx, world, step, keep),
        should_stop=ctx.should_stop,
    )


def _seal(ctx: StageContext, world: World, step: int, keep: int) -> None:
    shares = gather_objects(ctx.upload_checkpoint(step), world)
    ctx.seal_checkpoint(step, join_entries(shares), keep=keep)


def _train(context: RunContext) -> Mapping[str, float]:
    # Each branch imports only what it needs: start-up time counts on small machines.
    if context.stage in PRETRAINING_STAGES:
        from mimo_vl.training.pretrain import run_pretraining

        return run_pretraining(context)
    from mimo_vl.training.reward_model import run_reward_model

    return run_reward_model(context)


if __name__ == "__main__":
    exit_code = run_stage(main)
    # After an error. Told by now, so the peers, which this ends, cannot be taken for those that failed first.
    stop_distributed(is_orderly=False)
    sys.exit(exit_code)
