"""Stage `evaluate`: the suite on the base, SFT and RL models. `python -m jobs.evaluate`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.data.record import Record
from mimo_vl.errors import InterruptedAfterSaveError
from mimo_vl.evaluation.evaluate import WorkerPlan, evaluate, headline_metrics
from mimo_vl.evaluation.models import ModelSource, load_under_test
from mimo_vl.evaluation.scorers import build_scorers
from mimo_vl.evaluation.suite import Bench
from mimo_vl.evaluation.tasks import own_tasks
from mimo_vl.model.device import use_threads
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.rewards.math_pool import MathPool
from mimo_vl.storage.layout import step_dir
from mimo_vl.vocabulary import StageName

# Name in tables -> stage whose `model/` it is. RL may be absent from the graph.
MODEL_STAGES = {"base": StageName.BASE, "sft": StageName.LONG_CONTEXT_SFT, "rl": StageName.MORL}
# The only checkpoint: the responses so far.
RESPONSES = step_dir(0)


def main(ctx: StageContext) -> Mapping[str, float]:
    config = ctx.config
    _take_over_responses(ctx)
    sources = {name: _source(ctx, name, stage) for name, stage in MODEL_STAGES.items() if stage in ctx.inputs}
    datasets = ctx.input_dir(StageName.CURATE) / "datasets"
    encoder = SampleEncoder(load_tokenizer(next(iter(sources.values())).folder), config.processing)
    with MathPool(deadline_s=config.rewards.math_deadline_s) as math:
        bench = Bench(
            load_model=lambda name: load_under_test(sources[name], config.processing, dtype=config.model.dtype),
            load_dataset=lambda name: _records(datasets / name),
            sent_size=encoder.resized_size,
            scorers=build_scorers(math, config.rewards),
            log_dir=ctx.checkpoint_dir / RESPONSES,
            out_dir=ctx.out_dir,
            max_new_tokens=config.evaluation.max_new_tokens,
            batch_size=config.evaluation.batch_size,
            seed=config.seed,
            should_stop=ctx.should_stop,
        )
        workers = WorkerPlan(
            num_workers=config.evaluation.num_workers,
            start_worker=lambda: use_threads(config.evaluation.num_workers),
            on_done=lambda done, total: ctx.progress(done, total, unit="tasks"),
        )
        try:
            evaluation = evaluate(
                bench,
                list(sources),
                config=config.evaluation,
                processing=config.processing,
                workers=workers,
                own=own_tasks(config.rewards, datasets),
            )
        except InterruptedAfterSaveError:
            if any(bench.log_dir.rglob("*.jsonl")):
                ctx.complete_checkpoint(0)
            raise
    metrics = headline_metrics(evaluation)
    ctx.tracker.log_metrics(metrics, step=0)
    return metrics


def _source(ctx: StageContext, name: str, stage: StageName) -> ModelSource:
    return ModelSource(name=name, folder=ctx.input_dir(stage) / "model", digest=ctx.inputs[stage].digest)


def _records(folder: Path) -> list[Record]:
    dataset = IndexedDataset(folder)
    return [dataset[i] for i in range(len(dataset))]


def _take_over_responses(ctx: StageContext) -> None:
    """Answers of an earlier attempt, sealed or not: the log itself drops what a crash tore."""
    earlier = ctx.resume_from / RESPONSES if ctx.resume_from else None
    if earlier is not None and earlier.is_dir():
        shutil.copytree(earlier, ctx.checkpoint_dir / RESPONSES, dirs_exist_ok=True)
        (ctx.checkpoint_dir / RESPONSES / "complete.json").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(run_stage(main))
