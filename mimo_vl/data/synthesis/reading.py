r"""Reading and counting: OCR of a line of digits, counting digits in a grid, short questions about a picture.

ocr: a line of 2 to 4 digits from the left, each in its 28 px cell up to 2 px; answer `4072`.
counting: 1 to 6 digits in distinct cells of an 84 x 84 picture; answer `\boxed{4}`.
qa: one or two digits; which digit, whether one is there, what the background is.
"""

from __future__ import annotations

from collections.abc import Sequence

from mimo_vl.data.sources import Digit
from mimo_vl.data.synthesis.draft import Draft, Rng, ask
from mimo_vl.data.synthesis.studio import CELL, Canvas, Studio
from mimo_vl.data.synthesis.wording import COLOUR_NAMES, prompt
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily

_JITTER = 2
_MAX_COUNT = 6
_LINE_CELLS = 4


def ocr(studio: Studio, rng: Rng, language: Language) -> Draft:
    digits = studio.digits(rng, int(rng.integers(2, _LINE_CELLS + 1)))
    canvas = line_of_digits(studio, rng, digits)
    return Draft(
        data_type=DataType.OCR,
        language=language,
        question=ask(prompt(rng, "read", language)),
        answer="".join(str(d.label) for d in digits),
        media=(canvas.as_image(),),
        source_ids=tuple(canvas.source_ids),
        scorer="per_digit",
    )


def line_of_digits(studio: Studio, rng: Rng, digits: Sequence[Digit]) -> Canvas:
    """A 112 x 28 picture, written from its left edge; one size for any number of digits."""
    canvas, _ = studio.background(rng, _LINE_CELLS * CELL, CELL)
    for i, digit in enumerate(digits):
        studio.write(canvas, rng, digit, (i * CELL, 0, (i + 1) * CELL, CELL), jitter=_JITTER)
    return canvas


def counting(studio: Studio, rng: Rng, language: Language) -> Draft:
    count = int(rng.integers(1, _MAX_COUNT + 1))
    canvas, _ = studio.background(rng, 3 * CELL, 3 * CELL)
    cells = rng.permutation(9)[:count]
    for cell, digit in zip(cells.tolist(), studio.digits(rng, count), strict=True):
        x, y = cell % 3 * CELL, cell // 3 * CELL
        studio.write(canvas, rng, digit, (x, y, x + CELL, y + CELL), jitter=_JITTER)
    return Draft(
        data_type=DataType.COUNTING,
        language=language,
        question=ask(prompt(rng, "count", language)),
        answer=rf"\boxed{{{count}}}",
        reference=str(count),
        media=(canvas.as_image(),),
        source_ids=tuple(canvas.source_ids),
        scorer="count_exact",
        task=RewardTask.COUNTING,
        family=RlFamily.COUNTING,
    )


def qa(studio: Studio, rng: Rng, language: Language) -> Draft:
    canvas, background, labels = two_digits(studio, rng)
    task = ("left", "right", "colour", "is_there")[int(rng.integers(4))]
    asked = labels[int(rng.integers(2))] if rng.random() < 0.5 else int(rng.integers(10))
    yes, no = ("yes", "no") if language is Language.EN else ("有", "没有")
    answers = {
        "left": str(labels[0]),
        "right": str(labels[1]),
        "colour": COLOUR_NAMES[language][background],
        "is_there": yes if asked in labels else no,
    }
    return Draft(
        data_type=DataType.QA,
        language=language,
        question=ask(prompt(rng, task, language, label=asked)),
        answer=answers[task],
        media=(canvas.as_image(),),
        source_ids=tuple(canvas.source_ids),
        scorer="exact_text",
    )


def two_digits(studio: Studio, rng: Rng) -> tuple[Canvas, str, list[int]]:
    """A 56 x 56 picture with two digits side by side; the background's name; the labels from left to right."""
    canvas, background = studio.background(rng, 2 * CELL, 2 * CELL)
    row = int(rng.integers(2)) * CELL
    digits = studio.digits(rng, 2)
    for i, digit in enumerate(digits):
        studio.write(canvas, rng, digit, (i * CELL, row, (i + 1) * CELL, row + CELL), jitter=_JITTER)
    return canvas, background, [d.label for d in digits]
