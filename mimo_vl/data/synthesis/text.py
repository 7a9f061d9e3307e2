"""Text without pictures: real prose, number statements in both languages, and instructions on lists of digits.

text: paragraphs of real English prose; every third one is a short text made of statements (sums, sequences, pictures'
sentences), in which Chinese occurs. instruction: repeat, reverse, largest or smallest of 3 digits, or decline politely.
"""

from __future__ import annotations

from mimo_vl.data.split import text_digest
from mimo_vl.data.synthesis.draft import Draft, Rng, ask
from mimo_vl.data.synthesis.reasoning import arithmetic_statement
from mimo_vl.data.synthesis.studio import COLOURS, Studio
from mimo_vl.data.synthesis.wording import picture_sentence, prompt
from mimo_vl.schema.sample import TextPart
from mimo_vl.vocabulary import DataType, Language

_STATEMENTS = 4


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
    kind = int(rng.integers(4))
    if kind == 0:
        return arithmetic_statement(studio, rng)
    if kind == 1:
        start = int(rng.integers(6))
        return " ".join(str(v) for v in range(start, start + 4))
    if kind == 2:
        values = sorted(int(v) for v in rng.integers(10, size=2))
        words = ("is at least", "不小于") if rng.random() < 0.5 else ("is not less than", "大于或等于")
        word = words[0] if language is Language.EN else words[1]
        return f"{values[1]} {word} {values[0]}." if language is Language.EN else f"{values[1]}{word}{values[0]}。"
    labels = [int(v) for v in rng.integers(10, size=int(rng.integers(1, 3)))]
    background = [*COLOURS, "photo"][int(rng.integers(len(COLOURS) + 1))]
    return picture_sentence(language, labels, background)
