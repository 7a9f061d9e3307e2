"""Videos: 4 to 7 seconds at 2 frames per second, 56 x 28 px; one digit is visible for some whole seconds.

Two frames make one visual time step, so a step is one second and an event begins and ends between two steps. Lengths of
events are uniform, and an event never fills the whole clip. Questions: when, which digit, or a timed description.
"""

from __future__ import annotations

import json

from mimo_vl.data.synthesis.draft import Draft, Rng, ask
from mimo_vl.data.synthesis.studio import CELL, Medium, Studio, as_video
from mimo_vl.data.synthesis.wording import prompt
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily

_FPS = 2
_SECONDS = (4, 7)


def temporal_grounding(studio: Studio, rng: Rng, language: Language) -> Draft:
    medium, label, (start, end), sources = _clip(studio, rng)
    return Draft(
        data_type=DataType.VIDEO,
        language=language,
        question=ask(prompt(rng, "when", language)),
        answer=rf"\boxed{{{timespan(start, end)}}}",
        reference=json.dumps([float(start), float(end)]),
        media=(medium,),
        source_ids=sources,
        scorer="temporal_iou",
        task=RewardTask.TEMPORAL_GROUNDING,
        family=RlFamily.TEMPORAL_GROUNDING,
        meta={"label": str(label)},
    )


def video_question(studio: Studio, rng: Rng, language: Language) -> Draft:
    medium, label, _, sources = _clip(studio, rng)
    return Draft(
        data_type=DataType.VIDEO,
        language=language,
        question=ask(prompt(rng, "which", language)),
        answer=str(label),
        media=(medium,),
        source_ids=sources,
        scorer="exact_text",
    )


def video_events(studio: Studio, rng: Rng, language: Language) -> Draft:
    """A dense caption: the event with its start and end."""
    medium, label, (start, end), sources = _clip(studio, rng)
    return Draft(
        data_type=DataType.VIDEO,
        language=language,
        question=ask(prompt(rng, "events", language)),
        answer=f"{timespan(start, end)} {label}",
        media=(medium,),
        source_ids=sources,
        scorer="token_f1",
    )


def timespan(start_s: int, end_s: int) -> str:
    """`[mm:ss, mm:ss]`"""
    return f"[{start_s // 60:02d}:{start_s % 60:02d}, {end_s // 60:02d}:{end_s % 60:02d}]"


def _clip(studio: Studio, rng: Rng) -> tuple[Medium, int, tuple[int, int], tuple[str, ...]]:
    """The video, its digit, when it is visible (seconds from start to end), its sources."""
    seconds = int(rng.integers(_SECONDS[0], _SECONDS[1] + 1))
    length = int(rng.integers(1, seconds))
    start = int(rng.integers(seconds - length + 1))
    canvas, _ = studio.background(rng, 2 * CELL, CELL)
    before = canvas.as_pixels()
    digit = studio.digit(rng)
    x = int(rng.integers(2)) * CELL
    studio.write(canvas, rng, digit, (x, 0, x + CELL, CELL), jitter=2)
    during = canvas.as_pixels()
    frames = [during if start <= k // _FPS < start + length else before for k in range(seconds * _FPS)]
    return as_video(frames, fps=_FPS), digit.label, (start, start + length), tuple(canvas.source_ids)
