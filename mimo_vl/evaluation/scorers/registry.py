"""Which scorer a name means."""

from __future__ import annotations

import difflib
from functools import partial

from mimo_vl.errors import InputError
from mimo_vl.evaluation.scorers.actions import score_gui_step
from mimo_vl.evaluation.scorers.mathematics import score_math
from mimo_vl.evaluation.scorers.numeric import score_count, score_timespan
from mimo_vl.evaluation.scorers.spatial import score_box, score_point
from mimo_vl.evaluation.scorers.text import score_digits, score_exact, score_token_f1
from mimo_vl.evaluation.task import Scorer, Scorers
from mimo_vl.rewards.verdict import MathJudge


def build_scorers(math: MathJudge) -> Scorers:
    """All scorers by name; `math` decides what exact checks leave open."""
    return {
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


def scorer_named(scorers: Scorers, name: str) -> Scorer:
    """Raises InputError naming the nearest scorers."""
    if name not in scorers:
        near = difflib.get_close_matches(name, scorers, n=3) or sorted(scorers)
        raise InputError(f'meta["scorer"]: {name!r} is unknown; nearest: {", ".join(near)}')
    return scorers[name]
