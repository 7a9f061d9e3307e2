"""Captions and interleaved documents: what is written on which background, digits from left to right.

One or two digits, each aligned to a 28 px cell up to 2 px, on a plain colour or a photograph. A caption is a document
(picture, then sentence) or the answer to a request. An interleaved document shows two pictures, each with its sentence.
"""

from __future__ import annotations

from mimo_vl.data.synthesis.draft import Draft, Rng, ask
from mimo_vl.data.synthesis.studio import CELL, Medium, Studio
from mimo_vl.data.synthesis.wording import picture_sentence, prompt
from mimo_vl.schema.sample import MediaPart, Part, TextPart
from mimo_vl.vocabulary import DataType, Language

_JITTER = 2


def caption_document(studio: Studio, rng: Rng, language: Language) -> Draft:
    medium, sentence, source_ids = _picture(studio, rng, language)
    question: tuple[Part, ...] = (MediaPart(index=0), TextPart(text=sentence))
    return Draft(
        data_type=DataType.CAPTION, language=language, question=question, media=(medium,), source_ids=source_ids
    )


def caption(studio: Studio, rng: Rng, language: Language) -> Draft:
    medium, sentence, source_ids = _picture(studio, rng, language)
    return Draft(
        data_type=DataType.CAPTION,
        language=language,
        question=ask(prompt(rng, "caption", language)),
        answer=sentence,
        media=(medium,),
        source_ids=source_ids,
        scorer="token_f1",
    )


def interleaved_document(studio: Studio, rng: Rng, language: Language) -> Draft:
    parts: list[Part] = []
    media: list[Medium] = []
    sources: list[str] = []
    for index in range(2):
        medium, sentence, source_ids = _picture(studio, rng, language, max_digits=1)
        parts += [MediaPart(index=index), TextPart(text=sentence + "\n")]
        media.append(medium)
        sources += source_ids
    return Draft(
        data_type=DataType.INTERLEAVED,
        language=language,
        question=tuple(parts),
        media=tuple(media),
        source_ids=tuple(sources),
    )


def interleaved(studio: Studio, rng: Rng, language: Language) -> Draft:
    """A question about two pictures: one of them, or both in order."""
    first, second = (_picture(studio, rng, language, max_digits=1) for _ in range(2))
    task = ("first_picture", "second_picture", "both_pictures")[int(rng.integers(3))]
    answers = {
        "first_picture": first[1][:1],
        "second_picture": second[1][:1],
        "both_pictures": f"{first[1]} {second[1]}",
    }
    if language is Language.ZH:
        digits = ["".join(c for c in sentence if c.isdigit()) for sentence in (first[1], second[1])]
        answers = {"first_picture": digits[0], "second_picture": digits[1], "both_pictures": first[1] + second[1]}
    return Draft(
        data_type=DataType.INTERLEAVED,
        language=language,
        question=ask(prompt(rng, task, language), num_media=2),
        answer=answers[task],
        media=(first[0], second[0]),
        source_ids=(*first[2], *second[2]),
        scorer="token_f1",
    )


def _picture(
    studio: Studio, rng: Rng, language: Language, *, max_digits: int = 2
) -> tuple[Medium, str, tuple[str, ...]]:
    """A 56 x 56 picture, its sentence and its sources."""
    canvas, background = studio.background(rng, 2 * CELL, 2 * CELL)
    digits = studio.digits(rng, int(rng.integers(1, max_digits + 1)))
    row = int(rng.integers(2)) * CELL
    column = int(rng.integers(2)) * CELL if len(digits) == 1 else 0
    for i, digit in enumerate(digits):
        x = column + i * CELL
        studio.write(canvas, rng, digit, (x, row, x + CELL, row + CELL), jitter=_JITTER)
    sentence = picture_sentence(language, [d.label for d in digits], background)
    return canvas.as_image(), sentence, tuple(canvas.source_ids)
