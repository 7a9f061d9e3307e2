"""Grounding: where is the digit? A box or a point, in absolute pixels.

Canvas 84 x 84 or 112 x 84. One digit, or two with different labels; squares of 28 px (in their cell) or 56 px (on the
28 px lattice). Boxes are exact: no jitter, so that a model which knows cell and size can reach an IoU of 1.
"""

from __future__ import annotations

import json

from mimo_vl.data.sources import Digit
from mimo_vl.data.synthesis.draft import Draft, Rng, ask
from mimo_vl.data.synthesis.studio import CELL, Box, Canvas, Studio
from mimo_vl.data.synthesis.wording import prompt
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily

_TWO_DIGITS_SHARE = 0.4
_LARGE_SHARE = 0.4


def grounding_box(studio: Studio, rng: Rng, language: Language) -> Draft:
    return _draft(studio, rng, language, RewardTask.GROUNDING_BOX)


def grounding_point(studio: Studio, rng: Rng, language: Language) -> Draft:
    return _draft(studio, rng, language, RewardTask.GROUNDING_POINT)


def _draft(studio: Studio, rng: Rng, language: Language, task: RewardTask) -> Draft:
    canvas, placed = _scene(studio, rng)
    digit, box = placed[0]
    is_box = task is RewardTask.GROUNDING_BOX
    answer = box_answer(box, str(digit.label)) if is_box else point_answer(box, str(digit.label))
    return Draft(
        data_type=DataType.GROUNDING,
        language=language,
        question=ask(prompt(rng, "box" if is_box else "point", language, label=digit.label)),
        answer=answer,
        reference=json.dumps(list(box)),
        media=(canvas.as_image(),),
        source_ids=tuple(canvas.source_ids),
        scorer="grounding_box" if is_box else "grounding_point",
        task=task,
        family=RlFamily.GROUNDING,
        meta={"boxes": json.dumps([list(box)]), "label": str(digit.label)},
    )


def box_answer(box: Box, label: str) -> str:
    """In the form of the released model."""
    return f'```json\n[{{"bbox_2d": [{", ".join(map(str, box))}], "label": "{label}"}}]\n```'


def point_answer(box: Box, label: str) -> str:
    """The centre of the box."""
    x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
    return f'```json\n[{{"point_2d": [{x}, {y}], "label": "{label}"}}]\n```'


def _scene(studio: Studio, rng: Rng) -> tuple[Canvas, list[tuple[Digit, Box]]]:
    """Digits with different labels in boxes that do not overlap; the first is the one that is asked for."""
    columns, rows = (3, 3) if rng.random() < 0.5 else (4, 3)
    canvas, _ = studio.background(rng, columns * CELL, rows * CELL)
    num_digits = 2 if rng.random() < _TWO_DIGITS_SHARE else 1
    placed: list[tuple[Digit, Box]] = []
    for digit in studio.digits(rng, num_digits, distinct=True):
        box = _free_box(rng, columns, rows, [b for _, b in placed])
        studio.write(canvas, rng, digit, box)
        placed.append((digit, box))
    return canvas, placed


def _free_box(rng: Rng, columns: int, rows: int, taken: list[Box]) -> Box:
    while True:
        cells = 2 if rng.random() < _LARGE_SHARE and not taken else 1
        x = int(rng.integers(columns - cells + 1)) * CELL
        y = int(rng.integers(rows - cells + 1)) * CELL
        box = (x, y, x + cells * CELL, y + cells * CELL)
        if not any(_overlap(box, other) for other in taken):
            return box


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
