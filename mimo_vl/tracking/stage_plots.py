"""Which curves of a finished stage are drawn, from what the stage left behind: path in the artifact view -> SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimo_vl.observability import metrics as names
from mimo_vl.tracking.charts import Series, bar_chart, line_chart

FOLDER = "plots"
Records = Sequence[Mapping[str, Any]]


def training_plots(record: Mapping[str, Any]) -> dict[str, bytes]:
    """Of metrics.json: {"history": [{"step", "loss", "loss_by_group", "grad_norm", ...}], ...}."""
    history: Records = record.get("history", [])
    types = sorted({name for entry in history for name in entry.get("loss_by_group", {})})
    by_type = [_series(t, [(e["step"], e["loss_by_group"].get(t)) for e in history]) for t in types]
    plots = {
        "loss_by_data_type": line_chart("Loss by data type", by_type, x_label="step", y_label="nats per token"),
        "loss": _curves("Loss", history, {"loss": "loss"}, y_label="nats per token"),
        "grad_norm": _curves("Gradient norm before clipping", history, {"grad_norm": "norm"}, y_label=""),
    }
    capacity = record.get("row_tokens_per_step")
    if capacity:
        filled = [(e["step"], e["num_tokens"] / capacity) for e in history if "num_tokens" in e]
        plots["packing_efficiency"] = line_chart(
            "Packing efficiency: filled part of the rows",
            [_series("rows", filled)],
            x_label="step",
            y_label="ratio",
        )
    return _files(plots)


def rl_plots(lines: Records) -> dict[str, bytes]:
    """Of MORL's metrics.jsonl: one line per step under the platform's metric names."""
    lengths = {names.COMPLETION_TOKENS.name: "mean", **_parts(names.COMPLETION_TOKENS, lines)}
    gaps = {names.LOGPROB_GAP.name: "mean", names.LOGPROB_GAP_MAX.name: "largest"}
    rewards = {names.REWARD.name: "mean of the families", **_parts(names.REWARD_BY_FAMILY, lines)}
    return _files(
        {
            "rewards_by_family": _curves("Mean reward by family", lines, rewards, y_label="reward"),
            "response_length": _curves("Tokens per response", lines, lengths, y_label="tokens"),
            "mismatch": _curves("Log-probability, trainer minus engine", lines, gaps, y_label="nats"),
            "valid_groups": _curves(
                "Groups that teach something", lines, _parts(names.VALID_GROUPS, lines), y_label="ratio"
            ),
            "truncated": _curves(
                "Responses cut at the length limit", lines, {names.TRUNCATED.name: "all"}, y_label="ratio"
            ),
        }
    )


def pass_rate_plots(rates_by_family: Mapping[str, Sequence[float]]) -> dict[str, bytes]:
    """Of curate-rl: pass rate of each prompt, by family."""
    means = {family: sum(rates) / len(rates) for family, rates in sorted(rates_by_family.items()) if rates}
    solved = {
        family: sum(0.0 < rate < 1.0 for rate in rates) / len(rates)
        for family, rates in sorted(rates_by_family.items())
        if rates
    }
    return _files(
        {
            "pass_rates": bar_chart("Mean pass rate of the prompts", means, unit="ratio"),
            "useful_prompts": bar_chart("Prompts solved sometimes, but not always", solved, unit="ratio"),
        }
    )


def score_plots(scores_by_model: Mapping[str, Mapping[str, float]]) -> dict[str, bytes]:
    """Of evaluate: score of each family, by model."""
    rows = {f"{family} / {model}": s for model, scores in scores_by_model.items() for family, s in scores.items()}
    return _files({"scores": bar_chart("Scores by family and model", dict(sorted(rows.items())), unit="score")})


def _parts(metric: names.Metric, lines: Records) -> dict[str, str]:
    """Name of each per-family metric -> the family."""
    prefix = metric.of("")
    return {
        name: name.removeprefix(prefix) for name in sorted({n for e in lines for n in e}) if name.startswith(prefix)
    }


def _curves(title: str, lines: Records, shown: Mapping[str, str], *, y_label: str) -> bytes:
    series = [_series(label, [(e["step"], e.get(name)) for e in lines]) for name, label in shown.items()]
    return line_chart(title, series, x_label="step", y_label=y_label)


def _series(name: str, points: Sequence[tuple[float, float | None]]) -> Series:
    return Series(name=name, points=[(float(x), float(y)) for x, y in points if y is not None])


def _files(plots: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{FOLDER}/{name}.svg": data for name, data in plots.items() if data}
