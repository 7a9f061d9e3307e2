"""The `curate-rl` stage: pass-rate curation of RL prompts, preference pairs. `python -m jobs.curate_rl`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial

from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.data.report_metrics import selection_metrics
from mimo_vl.errors import InterruptedAfterSaveError
from mimo_vl.inference.load import load_encoder, load_engine
from mimo_vl.model.device import use_threads
from mimo_vl.rewards.judge import RuleJudge
from mimo_vl.rewards.math_pool import MathPool
from mimo_vl.rewards.router import Router
from mimo_vl.rl.answer_pool import Answerer, answer_pool
from mimo_vl.rl.curate_stage import BASE, SFT, Curator, write_report
from mimo_vl.vocabulary import StageName


class ProgressCount:
    """Prompts answered so far. The stage is short: asked to stop, it ends and a later attempt starts it again."""

    def __init__(self, ctx: StageContext) -> None:
        self._ctx = ctx
        self._num_done = 0

    def __call__(self, what: str, num_prompts: int) -> None:
        self._num_done += num_prompts
        self._ctx.progress(self._num_done, 0, unit="prompts", message=what)
        if self._ctx.should_stop():
            raise InterruptedAfterSaveError(f"stopped at {what}; curate-rl keeps nothing in between and starts again")


def main(ctx: StageContext) -> Mapping[str, float]:
    config = ctx.config
    sft_dir = ctx.input_dir(StageName.LONG_CONTEXT_SFT) / "model"
    base_dir = ctx.input_dir(StageName.BASE) / "model"
    encoder = load_encoder(sft_dir, config.processing)
    datasets = ctx.input_dir(StageName.CURATE) / "datasets"
    num_workers = config.curate_rl.num_workers
    engine_of = partial(
        load_engine, encoder=encoder, dtype=config.model.dtype, max_rows=config.curate_rl.answers_at_once
    )
    answerer = Answerer(
        load_engines={SFT: partial(engine_of, sft_dir), BASE: partial(engine_of, base_dir)},
        encoder=encoder,
    )
    with (
        MathPool(num_workers=config.rewards.math_workers, deadline_s=config.rewards.math_deadline_s) as math,
        answer_pool(answerer, num_workers=num_workers, start_worker=lambda: use_threads(num_workers)) as pool,
    ):
        curator = Curator(
            config=config.curate_rl,
            seed=config.seed,
            source_dir=datasets,
            out_dir=ctx.out_dir,
            encoder=encoder,
            scorer=Router(config.rewards, math),
            judge=RuleJudge(),
            on_progress=ProgressCount(ctx),
            families=config.rl.families,
        )
        report = curator.curate(pool)
    write_report(ctx.out_dir, report)
    ctx.shown.record(selection_metrics(report))
    prompts = [counts for name, counts in report.items() if name.startswith("rl-")]
    pairs = [counts for name, counts in report.items() if name.startswith("pairs-")]
    return {
        "prompts": float(sum(sum(counts.values()) for counts in prompts)),
        "prompts_kept": float(sum(c.get("kept", 0) + c.get("kept_to_fill", 0) for c in prompts)),
        "train_pairs": float(sum(c["train_pairs"] for c in pairs)),
        "heldout_pairs": float(sum(c["heldout_pairs"] for c in pairs)),
    }


if __name__ == "__main__":
    sys.exit(run_stage(main))
