"""`mimo evaluate`: any checkpoint on the held-out items of a run, outside of the pipeline."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs.cli_program import go_on
from mimo_vl.config.compose import load_config
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.data.record import Record
from mimo_vl.errors import InputError
from mimo_vl.evaluation.evaluate import WorkerPlan, evaluate
from mimo_vl.evaluation.models import ModelSource, load_under_test
from mimo_vl.evaluation.scorers import build_scorers
from mimo_vl.evaluation.suite import Bench
from mimo_vl.evaluation.tasks import own_tasks
from mimo_vl.model.device import use_threads
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.rewards.math_pool import MathPool
from mimo_vl.schema.evaluation import Evaluation
from mimo_vl.schema.manifest import content_digest
from mimo_vl.storage import store_for_uri
from mimo_vl.storage.artifacts import materialise
from mimo_vl.storage.digests import describe_files
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.local.state import RunFolder

_NAME = "checkpoint"


def evaluate_checkpoint(model: Path, run_dir: Path, out_dir: Path | None) -> Evaluation:
    """Results and evaluation.json under `out_dir`, by default a folder of the run named by the checkpoint's digest.

    Items answered there before are not asked again.

    Raises:
        InputError: no checkpoint in `model`, or the run has no curated data yet.
    """
    if not (model / "config.json").is_file():
        raise InputError(f"MODEL: no config.json in {model}; give a Hugging Face folder (an artifact's output/model)")
    folder = RunFolder(run_dir)
    pipeline = folder.load()
    config = load_config(folder.config_path(pipeline.metadata.uid))
    curate = next((s for s in pipeline.status.stages if s.name == StageName.CURATE and s.output_uri), None)
    if curate is None:
        raise InputError(f"--run-dir: {run_dir} has no curated data yet; run it with: {go_on(pipeline, run_dir)}")
    data = materialise(store_for_uri(curate.output_uri, config.storage), "", folder.path / "cache", curate.digest)
    digest = content_digest(describe_files(model))
    out_dir = out_dir or folder.path / "evaluations" / digest.removeprefix("sha256:")[:12]
    with MathPool(deadline_s=config.rewards.math_deadline_s) as math:
        bench = _bench(ModelSource(name=_NAME, folder=model, digest=digest), data / "datasets", out_dir, config, math)
        workers = WorkerPlan(num_workers=1, start_worker=lambda: use_threads(1))
        return evaluate(
            bench,
            [_NAME],
            config=config.evaluation,
            processing=config.processing,
            workers=workers,
            own=own_tasks(config.rewards, data / "datasets"),
        )


def _bench(source: ModelSource, datasets: Path, out_dir: Path, config: PipelineConfig, math: MathPool) -> Bench:
    encoder = SampleEncoder(load_tokenizer(source.folder), config.processing)
    out_dir.mkdir(parents=True, exist_ok=True)
    return Bench(
        load_model=lambda _: load_under_test(source, config.processing, dtype=config.model.dtype),
        load_dataset=lambda name: _records(datasets / name),
        sent_size=encoder.resized_size,
        scorers=build_scorers(math, config.rewards),
        log_dir=out_dir / "responses",
        out_dir=out_dir,
        max_new_tokens=config.evaluation.max_new_tokens,
        batch_size=config.evaluation.batch_size,
        seed=config.seed,
    )


def _records(folder: Path) -> list[Record]:
    dataset = IndexedDataset(folder)
    return [dataset[i] for i in range(len(dataset))]


def print_evaluation(console: Console, evaluation: Evaluation) -> None:
    table = Table()
    for heading in ("family", "metric", "n", "value", "95 % CI"):
        table.add_column(heading)
    for family in evaluation.families:
        score = family.models[_NAME]
        interval = f"[{score.ci[0]:.3f}, {score.ci[1]:.3f}]"
        value = f"{score.value:.3f}" + ("" if score.is_complete else f" (incomplete, at least {score.lower_bound:.3f})")
        table.add_row(family.name, family.metric, str(score.n), value, interval)
    console.print(table)
