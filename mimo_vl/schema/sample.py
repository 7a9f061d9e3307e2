"""One item of data: what is asked, what is shown, what is right. Pixels stay outside, as content-addressed media."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mimo_vl.schema.record import DescribedRecord, Record
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily, Split


class MediaRef(Record):
    """An image or video. `width`, `height` are those of the stored file, in pixels, before resizing."""

    sha256: str
    kind: Literal["image", "video"]
    width: int
    height: int
    num_frames: int = 1
    # Frames per second of the stored frames; None for images.
    fps: float | None = None


class TextPart(DescribedRecord):
    type: Literal["text"] = "text"
    """Names the kind of part."""
    text: str
    """Text between media."""


class MediaPart(DescribedRecord):
    type: Literal["media"] = "media"
    """Names the kind of part."""
    index: int
    """Which of the `media` beside the messages stands here, from 0."""


Part = Annotated[TextPart | MediaPart, Field(discriminator="type")]


class Message(Record):
    """A chat turn. Role `document` is raw text without chat template (captions, interleaved documents, plain text)."""

    role: Literal["system", "user", "assistant", "document"]
    parts: tuple[Part, ...]


class Sample(Record):
    """Supervised positions: all text of `document` messages, and all of `assistant` messages incl. end of turn.

    `reference` is what a verifier compares with (see rewards/verifiers): LaTeX or plain answer, an integer as text,
    a JSON list `[x1,y1,x2,y2]` in pixels of the *stored* image, or `[start_s,end_s]`. None for preference queries.
    `source_ids` are digests of the source images and texts used, so that a split can be proved disjoint.
    A prompt (RL, evaluation) is a Sample whose last message is not from the assistant.
    """

    version: Literal[1] = 1
    id: str
    data_type: DataType
    language: Language
    split: Split
    messages: tuple[Message, ...]
    media: tuple[MediaRef, ...] = ()
    task: RewardTask | None = None
    family: RlFamily | None = None
    reference: str | None = None
    source_ids: tuple[str, ...] = ()
    # Free-form facts for scorers and pictures (target boxes, labels, difficulty, evaluation scorer), JSON text.
    meta: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _every_medium_is_placed_once(self) -> Sample:
        placed = [p.index for m in self.messages for p in m.parts if isinstance(p, MediaPart)]
        if sorted(placed) != list(range(len(self.media))):
            raise ValueError(
                f"sample {self.id}: media parts point at {placed} but there are {len(self.media)} media; "
                "place each medium exactly once"
            )
        return self


class AnswerModel(StrEnum):
    """The models that answer the queries of preference."""

    SFT = "sft"
    BASE = "base"


class PreferencePair(Record):
    """Two answers to one query, ranked (report 3.2). `chosen` and `rejected` are raw completions, of which model."""

    version: Literal[1] = 1
    id: str
    prompt: Sample
    chosen: str
    rejected: str
    chosen_by: AnswerModel
    rejected_by: AnswerModel
    judge: str
    margin: float | None = None
