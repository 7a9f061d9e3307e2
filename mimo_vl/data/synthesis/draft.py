"""What a generator makes: a question with media, its right answer, and what is needed to judge another answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mimo_vl.data.record import Record
from mimo_vl.data.synthesis.studio import Medium, Studio
from mimo_vl.schema.sample import MediaPart, Message, Part, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily, Split

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Draft:
    """`question` holds all media. Without an answer it is a document: raw text, no chat turns.

    scorer: how evaluation judges an answer (evaluation/scorers). reference: what it compares with; default: the answer.
    """

    data_type: DataType
    language: Language
    question: tuple[Part, ...]
    answer: str | None = None
    media: tuple[Medium, ...] = ()
    source_ids: tuple[str, ...] = ()
    reference: str | None = None
    scorer: str = ""
    task: RewardTask | None = None
    family: RlFamily | None = None
    meta: dict[str, str] = field(default_factory=dict)

    @property
    def is_document(self) -> bool:
        return self.answer is None


Generator = Callable[[Studio, Rng, Language], Draft]


def ask(text: str, num_media: int = 1) -> tuple[Part, ...]:
    """Media first, then the text, as the chat template of Qwen2.5-VL lays them out."""
    return (*(MediaPart(index=i) for i in range(num_media)), TextPart(text=text))


def to_training(draft: Draft, *, sample_id: str, split: Split) -> Record:
    """The question with its answer, or the document."""
    if draft.answer is None:
        return _record(draft, (Message(role="document", parts=draft.question),), sample_id, split)
    answer = Message(role="assistant", parts=(TextPart(text=draft.answer),))
    return _record(draft, (Message(role="user", parts=draft.question), answer), sample_id, split)


def to_prompt(draft: Draft, *, sample_id: str, split: Split) -> Record:
    """The question alone, for RL and evaluation; a document stays whole, for its likelihood."""
    role = "document" if draft.is_document else "user"
    return _record(draft, (Message(role=role, parts=draft.question),), sample_id, split)


def _record(draft: Draft, messages: tuple[Message, ...], sample_id: str, split: Split) -> Record:
    meta = {**draft.meta, **({"scorer": draft.scorer} if draft.scorer else {})}
    sample = Sample(
        id=sample_id,
        data_type=draft.data_type,
        language=draft.language,
        split=split,
        messages=messages,
        media=tuple(m.ref for m in draft.media),
        task=draft.task,
        family=draft.family,
        reference=draft.reference if draft.reference is not None else draft.answer,
        source_ids=tuple(dict.fromkeys(draft.source_ids)),
        meta=meta,
    )
    return Record(sample=sample, media=tuple(m.data for m in draft.media))
