"""Which scorer a name means."""

from __future__ import annotations

import difflib
from functools import partial

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.errors import InputError
from mimo_vl.evaluation.scorers.actions import score_gui_step
from mimo_vl.evaluation.scorers.custom import score_custom
from mimo_vl.evaluation.scorers.mathematics import score_math
from mimo_vl.evaluation.scorers.numeric import score_count, score_timespan
from mimo_vl.evaluation.scorers.spatial import score_box, score_point
from mimo_vl.evaluation.scorers.text import score_digits, score_exact, score_token_f1
from mimo_vl.evaluation.task import Scorer, Scorers
from mimo_vl.rewards.verdict import MathJudge, RuleContext
from mimo_vl.rewards.verifiers.custom import load_custom_verifier
from mimo_vl.vocabulary import RewardTask


def build_scorers(math: MathJudge, rewards: RewardsConfig | None = None) -> Scorers:
    """All scorers by name; `math` decides what exact checks leave open. `rewards` may name the user's own verifier.

    Raises:
        ConfigError: that one cannot be used.
    """
    scorers: dict[str, Scorer] = {
        "math_answer": partial(score_math, math),
        "count_exact": score_count,
        "grounding_box": score_box,
        "grounding_point": score_point,
        "temporal_iou": score_timespan,
        "per_digit": score_digits,
        "exact_text": score_exact,
        "token_f1": score_token_f1,
        "gui_step": score_gui_step,
    }
    verifier = load_custom_verifier(rewards) if rewards is not None else None
    if rewards is not None and verifier is not None:
        scorers[RewardTask.CUSTOM] = partial(score_custom, verifier, RuleContext(config=rewards, math=math))
    return scorers


def scorer_named(scorers: Scorers, name: str) -> Scorer:
    """Raises InputError naming the nearest scorers."""
    if name not in scorers:
        near = difflib.get_close_matches(name, scorers, n=3) or sorted(scorers)
        raise InputError(f'meta["scorer"]: {name!r} is unknown; nearest: {", ".join(near)}')
    return scorers[name]
