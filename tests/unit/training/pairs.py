"""Preference pairs without media."""

from __future__ import annotations

from mimo_vl.schema.sample import AnswerModel, Message, PreferencePair, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, Split


def pair(
    query: str, number: int, chosen_by: AnswerModel = AnswerModel.SFT, rejected_by: AnswerModel = AnswerModel.SFT
) -> PreferencePair:
    prompt = Sample(
        id=query,
        data_type=DataType.INSTRUCTION,
        language=Language.EN,
        split=Split.HELDOUT,
        messages=(Message(role="user", parts=(TextPart(text="?"),)),),
    )
    return PreferencePair(
        id=f"{query}/{number}",
        prompt=prompt,
        chosen="a",
        rejected="b",
        chosen_by=chosen_by,
        rejected_by=rejected_by,
        judge="j",
    )
