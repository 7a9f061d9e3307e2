"""The whole of stage `evaluate`: run the suite on all models, compare them, draw pictures, write evaluation.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mimo_vl.config.evaluation import EvaluationConfig
from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.evaluation.compare import BASE, RL, SFT, FamilyResults, compare_families, compare_rewards
from mimo_vl.evaluation.gallery import draw_gallery
from mimo_vl.evaluation.score import read_results
from mimo_vl.evaluation.suite import Bench, Unit, run_units
from mimo_vl.evaluation.task import Decoding, InferPass, TaskSpec
from mimo_vl.evaluation.tasks import TINY_SUITE, task_by_id
from mimo_vl.observability.metrics import EVALUATION_SCORE, MEAN_REWARD
from mimo_vl.schema.evaluation import Evaluation, ItemResult

GREEDY_FOLDER, SAMPLED_FOLDER = "results", "sampled"


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """How many workers, what each does first, and who hears of finished units (done, total)."""

    num_workers: int = 1
    start_worker: Callable[[], None] = lambda: None
    on_done: Callable[[int, int], None] = lambda _done, _total: None


def evaluate(
    bench: Bench,
    models: Sequence[str],
    *,
    config: EvaluationConfig,
    processing: ProcessingConfig,
    workers: WorkerPlan,
    own: Sequence[TaskSpec] = (),
) -> Evaluation:
    """Everything is written under `bench.out_dir`; `models` are in the order base, sft, rl, without those that lack.

    `own`: tasks beside the suite.
    """
    suite = chosen_suite(config, own)
    greedy = InferPass(folder=GREEDY_FOLDER, decoding=Decoding())
    decoding = Decoding(temperature=config.sampled_temperature, num_samples=config.samples_per_item)
    sampled = InferPass(folder=SAMPLED_FOLDER, decoding=decoding)
    units = [Unit(model=m, task=t, pass_=greedy) for m in models for t in suite]
    units += [Unit(model=m, task=t, pass_=sampled) for m in models if m != BASE for t in suite if t.is_verifiable]
    run_units(bench, units, num_workers=workers.num_workers, start_worker=workers.start_worker, on_done=workers.on_done)
    results = _read(bench, [u for u in units if u.pass_ is greedy])
    best = models[-1]
    items = {t.family: {r.sample.id: (bench.item(r), r) for r in bench.records(t)} for t in suite}
    evaluation = Evaluation(
        confidence=config.confidence,
        models=tuple(models),
        families=tuple(compare_families(suite, results, config.confidence)),
        mean_reward=compare_rewards(
            suite,
            _read(bench, [u for u in units if u.pass_ is sampled]),
            confidence=config.confidence,
            draws=config.bootstrap_draws,
            seed=bench.seed,
        ),
        pictures=tuple(
            draw_gallery(
                best,
                results[best],
                items,
                num_pictures=config.num_pictures,
                out_dir=bench.out_dir,
                processing=processing,
            )
        ),
    )
    (bench.out_dir / "evaluation.json").write_bytes(evaluation.to_json() + b"\n")
    return evaluation


def chosen_suite(config: EvaluationConfig, own: Sequence[TaskSpec] = ()) -> Sequence[TaskSpec]:
    return [task_by_id(str(task), own) for task in config.tasks] if config.tasks else (*TINY_SUITE, *own)


def headline_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Flat numbers for the manifest and the tracking server: one per model and family, and the mean reward."""
    metrics = {
        EVALUATION_SCORE.of(f"{model}/{family.name}"): score.value
        for family in evaluation.families
        for model, score in family.models.items()
    }
    rewards = evaluation.mean_reward
    named = {SFT: rewards.sft, RL: rewards.rl, "rl_minus_sft": rewards.rl_minus_sft}
    return metrics | {MEAN_REWARD.of(name): value for name, value in named.items() if value is not None}


def _read(bench: Bench, units: Sequence[Unit]) -> Mapping[str, FamilyResults]:
    results: dict[str, dict[str, Sequence[ItemResult]]] = {}
    for unit in units:
        results.setdefault(unit.model, {})[unit.task.family] = read_results(bench.out_dir / unit.path)
    return results
