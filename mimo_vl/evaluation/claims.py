"""Which claims about what the demo learned hold, judged from summary.json alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MIN_DIGIT_ACCURACY, MIN_COUNTING, MIN_BOX_REWARD = 0.90, 0.70, 0.50
# Plain text may get worse by so much: it is a small part of the mixture.
MAX_TEXT_LOSS_NATS = 0.1
# RL may cost a family so much and no more.
REGRESSION_MARGIN = -0.03
MAX_TOTAL_SECONDS = 1200
MAX_PSS_BYTES = 10 * 2**30
# Stages that report a loss on a fixed held-out batch.
LOSS_STAGES = ("projector-warmup", "vision-language-alignment", "multimodal-pretraining", "long-context-sft")
REWARD_MODELS = ("reward-model-text", "reward-model-multimodal")
FAMILIES = (
    *("visual_reasoning", "text_reasoning", "grounding", "counting", "temporal_grounding"),
    *("caption", "interleaved", "ocr", "qa", "video", "gui", "instruction", "text"),
)
VERIFIABLE_N, OTHER_N, NUM_VERIFIABLE = 200, 64, 5


@dataclass(frozen=True)
class Claim:
    name: str
    holds: bool
    got: str
    wanted: str

    def __str__(self) -> str:
        return f"{'ok' if self.holds else 'FAIL'} {self.name}: got {self.got}, wanted {self.wanted}"


Json = Mapping[str, Any]


def check(summary: Json) -> list[Claim]:
    """Every claim about `make demo`, in a fixed order; a missing value is a failed claim."""
    return [
        *check_learning(summary),
        _at_most("total_seconds", summary.get("total_seconds"), MAX_TOTAL_SECONDS),
        _at_most("peak_pss_bytes", summary.get("peak_pss_bytes"), MAX_PSS_BYTES),
    ]


def check_learning(summary: Json) -> list[Claim]:
    """Those that hold wherever the pipeline ran, whatever time it took."""
    families = {f["name"]: f for f in summary.get("families", [])}
    return [
        *_stages(summary.get("stages", [])),
        *_sizes(families),
        *_gains(families),
        *_skills(families),
        *_reward_models(summary.get("reward_models", [])),
        *_reinforcement(summary.get("mean_reward") or {}, families),
    ]


def _stages(stages: list[Json]) -> Iterator[Claim]:
    yield Claim("stages", bool(stages), str(len(stages)), "at least 1")
    for stage in stages:
        yield Claim(f"stage {stage['name']}", stage["status"] == "Succeeded", stage["status"], "Succeeded")
    by_name = {s["name"]: s for s in stages}
    with_loss = [s["name"] for s in stages if s.get("loss_first") is not None or s.get("loss_last") is not None]
    for name in dict.fromkeys((*LOSS_STAGES, *with_loss)):
        stage = by_name.get(name, {})
        first, last = stage.get("loss_first"), stage.get("loss_last")
        holds = first is not None and last is not None and last < first
        yield Claim(f"loss falls in {name}", holds, f"{_show(first)} -> {_show(last)}", "last below first")


def _sizes(families: Mapping[str, Json]) -> Iterator[Claim]:
    for position, name in enumerate(FAMILIES):
        wanted = VERIFIABLE_N if position < NUM_VERIFIABLE else OTHER_N
        n = families.get(name, {}).get("n")
        yield Claim(f"items of {name}", n is not None and n >= wanted, str(n), f"at least {wanted}")


def _gains(families: Mapping[str, Json]) -> Iterator[Claim]:
    for name in FAMILIES:
        family = families.get(name, {})
        if name == "text":
            base, sft = (_metric(family, model, "nats_per_token") for model in ("base", "sft"))
            holds = base is not None and sft is not None and sft <= base + MAX_TEXT_LOSS_NATS
            wanted = f"at most {MAX_TEXT_LOSS_NATS} nats per token above base"
            yield Claim("text after SFT", holds, f"{_show(base)} -> {_show(sft)} nats", wanted)
            continue
        base_ci, sft_ci = family.get("base_ci"), family.get("sft_ci")
        holds = base_ci is not None and sft_ci is not None and sft_ci[0] > base_ci[1]
        got = f"{_show(family.get('base'))} {_show_ci(base_ci)} -> {_show(family.get('sft'))} {_show_ci(sft_ci)}"
        yield Claim(f"{name} after SFT", holds, got, "above base, intervals apart")


def _skills(families: Mapping[str, Json]) -> Iterator[Claim]:
    yield _at_least("digits read by SFT", families.get("ocr", {}).get("sft"), MIN_DIGIT_ACCURACY)
    yield _at_least("counting of SFT", families.get("counting", {}).get("sft"), MIN_COUNTING)
    boxes = _metric(families.get("grounding", {}), "sft", "box_reward")
    yield _at_least("boxes of SFT, mean (1 + GIoU) / 2", boxes, MIN_BOX_REWARD)


def _reward_models(models: list[Json]) -> Iterator[Claim]:
    by_name = {m["name"]: m for m in models}
    for name in REWARD_MODELS:
        model = by_name.get(name, {})
        bounds = model.get("ci")
        got = f"{_show(model.get('pairwise_accuracy'))} {_show_ci(bounds)}"
        yield Claim(f"held-out pairs of {name}", bounds is not None and bounds[0] > 0.5, got, "interval above 0.5")


def _reinforcement(mean: Json, families: Mapping[str, Json]) -> Iterator[Claim]:
    bounds = mean.get("rl_minus_sft_ci")
    got = f"{_show(mean.get('sft'))} -> {_show(mean.get('rl'))}, difference {_show_ci(bounds)}"
    yield Claim("mean reward rises by RL", bounds is not None and bounds[0] > 0, got, "interval above 0")
    for name in FAMILIES:
        bounds = families.get(name, {}).get("rl_minus_sft_ci")
        holds = bounds is not None and bounds[1] >= REGRESSION_MARGIN
        yield Claim(f"{name} after RL", holds, _show_ci(bounds), f"not wholly below {REGRESSION_MARGIN}")


def _metric(family: Json, model: str, name: str) -> float | None:
    value = family.get("metrics", {}).get(model, {}).get(name)
    return None if value is None else float(value)


def _at_least(name: str, got: float | None, wanted: float) -> Claim:
    return Claim(name, got is not None and got >= wanted, _show(got), f"at least {wanted:g}")


def _at_most(name: str, got: float | None, wanted: float) -> Claim:
    return Claim(name, got is not None and got <= wanted, _show(got), f"at most {wanted:g}")


def _show(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _show_ci(bounds: list[float] | None) -> str:
    return "[nothing]" if not bounds else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"
