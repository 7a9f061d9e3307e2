"""Text without pictures: real prose, number statements in both languages, and instructions on lists of digits.

text: paragraphs of real English prose, and short texts made of statements, which hold the Chinese. Statements are sums,
comparisons, and sentences as pictures have them.
transcript: what a picture's visual tokens would say if they were words, between the vision marks, and a sentence about
it (what is written, the digits read out, counted or added up). Only the base language model reads these: having the
abilities that pictures will call for, it is something that a projector can be warmed up against. No sum shows a problem
of the other split.
instruction: repeat, reverse, largest or smallest of 3 digits.
"""

from __future__ import annotations

from dataclasses import dataclass

from mimo_vl.data.split import text_digest
from mimo_vl.data.synthesis.draft import Draft, Rng, ask
from mimo_vl.data.synthesis.reasoning import arithmetic_statement, owns_working, work_out
from mimo_vl.data.synthesis.studio import COLOURS, Studio
from mimo_vl.data.synthesis.wording import picture_sentence, prompt
from mimo_vl.schema.sample import TextPart
from mimo_vl.vocabulary import DataType, Language

_STATEMENTS = 4
_LINE_SHARE = 0.6
# What is said about a transcript is a kind in [0, 1); from here on, the digits added up.
_SUMS_FROM = 0.85


def prose(studio: Studio, rng: Rng, language: Language) -> Draft:
    """A real paragraph; Chinese ones are made of statements, as the sources are English."""
    if language is Language.ZH or rng.random() < 0.2:
        text = statements(studio, rng, language)
        return _document(text, language, text_digest(text))
    paragraphs = studio.sources.paragraphs
    paragraph = paragraphs[int(rng.integers(len(paragraphs)))]
    return _document(paragraph.text, language, paragraph.digest)


def statements(studio: Studio, rng: Rng, language: Language) -> str:
    """A few facts in a row, each one line."""
    return "\n".join(_statement(studio, rng, language) for _ in range(_STATEMENTS))


@dataclass(frozen=True)
class Transcript:
    """`cells`: one token per visual token, a digit or the word for an empty cell. `text`: what is said about them."""

    cells: str
    text: str


def transcript(studio: Studio, rng: Rng, language: Language) -> Transcript:
    """A line of 4 cells written from the left, or up to 9 cells with digits anywhere, on one background."""
    is_line = rng.random() < _LINE_SHARE
    num_cells = 4 if is_line else int(rng.integers(2, 10))
    num_digits = int(rng.integers(1, min(num_cells, 6) + 1))
    background = [*COLOURS, "photo"][int(rng.integers(len(COLOURS) + 1))]
    kind = rng.random()
    labels = _labels(studio, rng, num_digits, is_added_up=kind >= _SUMS_FROM)
    cells = [f" {background}"] * num_cells
    places = range(num_digits) if is_line else sorted(rng.permutation(num_cells)[:num_digits].tolist())
    for place, label in zip(places, labels, strict=True):
        cells[place] = str(label)
    if num_digits <= 2 and kind < 0.5:
        text = picture_sentence(language, labels, background)
    elif kind < 0.7:
        text = "".join(map(str, labels))
    elif kind < _SUMS_FROM:
        text = f"{num_digits}个数字" if language is Language.ZH else f"{num_digits} digits"
    else:
        text = work_out(labels)[0] or str(labels[0])
    return Transcript("".join(cells), text)


def _labels(studio: Studio, rng: Rng, count: int, *, is_added_up: bool) -> list[int]:
    while True:
        labels = [int(v) for v in rng.integers(10, size=count)]
        if not is_added_up or owns_working(studio, labels):
            return labels


def instruction(studio: Studio, rng: Rng, language: Language) -> Draft:
    """Follow an instruction on three digits. Held-out lists are those whose text hashes into the held-out share."""
    while True:
        values = [int(v) for v in rng.integers(10, size=3)]
        listed = " ".join(map(str, values))
        if studio.owns_text(f"list {listed}"):
            break
    task = ("repeat", "reverse", "largest", "smallest")[int(rng.integers(4))]
    answers = {
        "repeat": listed,
        "reverse": " ".join(map(str, values[::-1])),
        "largest": str(max(values)),
        "smallest": str(min(values)),
    }
    return Draft(
        data_type=DataType.INSTRUCTION,
        language=language,
        question=ask(prompt(rng, task, language, digits=listed), num_media=0),
        answer=answers[task],
        source_ids=(text_digest(f"list {listed}"),),
        scorer="exact_text",
    )


def _document(text: str, language: Language, source_id: str) -> Draft:
    return Draft(
        data_type=DataType.TEXT,
        language=language,
        question=(TextPart(text=text),),
        source_ids=(source_id,),
        reference=text,
        scorer="likelihood",
    )


def _statement(studio: Studio, rng: Rng, language: Language) -> str:
    """One line of fact, of a kind drawn by the shares."""
    kind = int(rng.choice(len(_STATEMENT_KINDS), p=_STATEMENT_SHARES))
    return _STATEMENT_KINDS[kind](studio, rng, language)


def _sum(studio: Studio, rng: Rng, _: Language) -> str:
    return arithmetic_statement(studio, rng)


def _comparison(_: Studio, rng: Rng, language: Language) -> str:
    low, high = sorted(int(v) for v in rng.integers(10, size=2))
    return f"{high}不小于{low}。" if language is Language.ZH else f"{high} is not less than {low}."


def _sight(_: Studio, rng: Rng, language: Language) -> str:
    labels = [int(v) for v in rng.integers(10, size=int(rng.integers(1, 3)))]
    background = [*COLOURS, "photo"][int(rng.integers(len(COLOURS) + 1))]
    return picture_sentence(language, labels, background)


_STATEMENT_KINDS = (_sum, _sight, _comparison)
_STATEMENT_SHARES = (0.5, 0.3, 0.2)
