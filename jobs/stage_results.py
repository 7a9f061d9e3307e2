"""What a finished stage shows in the tracking server: plots and tables, made of the files that it published."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobs.stage_context import StageContext
from mimo_vl.schema.evaluation import Evaluation
from mimo_vl.schema.rollout import ScoredGroup
from mimo_vl.tracking import Tracker
from mimo_vl.tracking.stage_plots import pass_rate_plots, rl_plots, score_plots, training_plots
from mimo_vl.tracking.tables import prediction_rows, rollout_rows, table_json
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES, StageName

logger = logging.getLogger(__name__)

PREDICTIONS, ROLLOUTS = "predictions", "rollouts"


def log_results(ctx: StageContext) -> None:
    """Rank 0, after publication. Never raises: the output exists, whatever can be drawn of it."""
    show = _SHOWN.get(ctx.stage)
    if show is None or not ctx.is_main:
        return
    try:
        show(ctx.tracker, ctx.out_dir)
    # Whatever it is, see above.
    except Exception as error:  # noqa: BLE001
        logger.warning("plots and tables of %s are missing in the tracking server: %r", ctx.stage, error)


def _show_training(tracker: Tracker, out_dir: Path) -> None:
    _log(tracker, training_plots(json.loads((out_dir / "metrics.json").read_bytes())))


def _show_rl(tracker: Tracker, out_dir: Path) -> None:
    _log(tracker, rl_plots(_lines(out_dir / "metrics.jsonl")))
    groups = [ScoredGroup.from_json(line) for line in (out_dir / "rollouts.jsonl").read_bytes().splitlines()]
    tracker.log_artifact(f"{ROLLOUTS}.json", table_json(rollout_rows(groups)), is_table=True)


def _show_curation(tracker: Tracker, out_dir: Path) -> None:
    files = sorted((out_dir / "pass_rates").glob("*.jsonl"))
    rates = {path.stem: [_pass_rate(line["rate"]) for line in _lines(path)] for path in files}
    _log(tracker, pass_rate_plots(rates))


def _show_evaluation(tracker: Tracker, out_dir: Path) -> None:
    evaluation = Evaluation.from_json((out_dir / "evaluation.json").read_bytes())
    scores = {
        model: {f.name: f.models[model].value for f in evaluation.families if model in f.models}
        for model in evaluation.models
    }
    _log(tracker, score_plots(scores))
    rows, pictures = prediction_rows(evaluation.pictures, PREDICTIONS)
    for path, shown in pictures.items():
        tracker.log_artifact(shown, (out_dir / path).read_bytes())
    tracker.log_artifact(f"{PREDICTIONS}.json", table_json(rows), is_table=True)


def _log(tracker: Tracker, plots: Mapping[str, bytes]) -> None:
    for path, data in plots.items():
        tracker.log_artifact(path, data)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _pass_rate(rate: Mapping[str, Any]) -> float:
    return float(rate["num_solved"]) / max(1, int(rate["num_answers"]))


_SHOWN: Mapping[StageName, Callable[[Tracker, Path], None]] = {
    **dict.fromkeys((*PRETRAINING_STAGES, *REWARD_MODEL_STAGES), _show_training),
    StageName.CURATE_RL: _show_curation,
    StageName.MORL: _show_rl,
    StageName.EVALUATE: _show_evaluation,
}
