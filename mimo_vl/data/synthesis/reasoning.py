r"""Reasoning with `<think>`: arithmetic on digits that are seen, and on problems that are read.

visual: a line of two or three digits; their sum, or the larger minus the smaller of two.
text: two or three one-digit operands, never negative on the way. Held-out problems are those whose text hashes into the
held-out share; problems of two operands are all for training, since they are the steps of the others.
A longer sum shows problems, too: `0+3=3,3+4=7,7+5=12` holds the working of `3+4+5`. `owns_working` decides for all.
The thought is the calculation, step by step: `<think>3+5=8,8-2=6</think>\boxed{6}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from mimo_vl.data.sources import Digit
from mimo_vl.data.split import text_digest
from mimo_vl.data.synthesis.draft import Draft, Rng, ask
from mimo_vl.data.synthesis.reading import line_of_digits
from mimo_vl.data.synthesis.studio import Studio
from mimo_vl.data.synthesis.wording import prompt
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily, Split


def visual_reasoning(studio: Studio, rng: Rng, language: Language) -> Draft:
    task = "difference" if rng.random() < 0.25 else "sum"
    digits = _operands(studio, rng, 2 if task == "difference" or rng.random() < 0.7 else 3)
    canvas = line_of_digits(studio, rng, digits)
    labels = [d.label for d in digits]
    terms = [max(labels), -min(labels)] if task == "difference" else labels
    thought, result = work_out(terms)
    return Draft(
        data_type=DataType.REASONING,
        language=language,
        question=ask(prompt(rng, task, language)),
        answer=rf"<think>{thought}</think>\boxed{{{result}}}",
        reference=str(result),
        media=(canvas.as_image(),),
        source_ids=tuple(canvas.source_ids),
        scorer="math_answer",
        task=RewardTask.VISUAL_REASONING,
        family=RlFamily.VISUAL_REASONING,
    )


def text_reasoning(studio: Studio, rng: Rng, language: Language) -> Draft:
    terms = arithmetic_terms(studio, rng)
    problem = arithmetic_text(terms)
    thought, result = work_out(terms)
    return Draft(
        data_type=DataType.REASONING,
        language=language,
        question=ask(prompt(rng, "compute", language, problem=problem), num_media=0),
        answer=rf"<think>{thought}</think>\boxed{{{result}}}",
        reference=str(result),
        source_ids=(text_digest(problem),),
        scorer="math_answer",
        task=RewardTask.TEXT_REASONING,
        family=RlFamily.TEXT_REASONING,
    )


def _operands(studio: Studio, rng: Rng, count: int) -> list[Digit]:
    """Sums of three stay on the side of the split that their text belongs to."""
    while True:
        digits = studio.digits(rng, count)
        if owns_working(studio, [d.label for d in digits]):
            return digits


def owns_working(studio: Studio, terms: Sequence[int]) -> bool:
    """Whether the working of these terms shows only problems of the studio's split.

    Two steps in a row that start from one digit are the working of a problem of three operands.
    """
    totals = accumulate(terms)
    problems = [[t, *terms[i + 1 : i + 3]] for i, t in enumerate(totals) if t < 10 and i + 2 < len(terms)]
    return all(studio.owns_text(arithmetic_text(problem)) for problem in problems)


def arithmetic_terms(studio: Studio, rng: Rng) -> list[int]:
    """Signed operands of a problem that belongs to the studio's split, e.g. [3, 5, -2]."""
    while True:
        num_terms = 2 if studio.split is Split.TRAIN and rng.random() < 0.4 else 3
        terms = [int(rng.integers(10))]
        for _ in range(num_terms - 1):
            operand = int(rng.integers(10))
            terms.append(-operand if rng.random() < 0.4 and operand <= sum(terms) else operand)
        if owns_working(studio, terms):
            return terms


def arithmetic_text(terms: list[int]) -> str:
    """[3, 5, -2] -> `3+5-2`. A subtracted zero reads as added."""
    return str(terms[0]) + "".join(f"{t:+d}" for t in terms[1:])


def arithmetic_statement(studio: Studio, rng: Rng) -> str:
    """A worked-out problem as plain text, `3+5=8,8-2=6`."""
    return work_out(arithmetic_terms(studio, rng))[0]


def work_out(terms: Sequence[int]) -> tuple[str, int]:
    """The steps, left to right, and the result: [2, 8, 9] -> (`2+8=10,10+9=19`, 19)."""
    steps, total = [], terms[0]
    for term in terms[1:]:
        steps.append(f"{total}{term:+d}={total + term}")
        total += term
    return ",".join(steps), total
