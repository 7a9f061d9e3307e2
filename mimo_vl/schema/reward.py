"""The HTTP contract of the reward service: POST /v1/score (report 3.3, "Reward-as-a-Service")."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from mimo_vl.schema.record import Record
from mimo_vl.vocabulary import RewardTask


class ScoreStatus(StrEnum):
    """`scored` and `unparsable` (reward 0) are verdicts; the other three mean "could not be judged" (reward null)."""

    SCORED = "scored"
    UNPARSABLE = "unparsable"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    INVALID_REFERENCE = "invalid_reference"


class ChatMessage(Record):
    role: Literal["system", "user", "assistant"]
    content: str


class ScoreMedia(Record):
    """`width`, `height`: size of the image as the model saw it (after resizing); boxes are in these pixels."""

    uri: str
    sha256: str
    kind: Literal["image", "video"]
    width: int
    height: int
    fps: float | None = None


class ScoreRequest(Record):
    """`response` is the raw completion, thinking and any forced prefill included."""

    id: str
    task: RewardTask
    prompt: tuple[ChatMessage, ...]
    response: str
    reference: str | None = None
    media: tuple[ScoreMedia, ...] = ()


class ScoreResult(Record):
    id: str
    reward: float | None = Field(default=None, ge=0.0, le=1.0)
    status: ScoreStatus
    breakdown: dict[str, float] = Field(default_factory=dict)
    reward_name: str
    version: str
    latency_ms: float = 0.0
    reason: str = ""


class ScoreBatchRequest(Record):
    requests: tuple[ScoreRequest, ...]


class ScoreBatchResponse(Record):
    results: tuple[ScoreResult, ...]
