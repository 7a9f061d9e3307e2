"""The HTTP contract of the reward service: POST /v1/score (report 3.3, "Reward-as-a-Service")."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from mimo_vl.schema.record import Record
from mimo_vl.schema.sample import Part
from mimo_vl.vocabulary import RewardTask


class ScoreStatus(StrEnum):
    """`scored` and `unparsable` (reward 0) are verdicts; the others mean "could not be judged" (reward null)."""

    SCORED = "scored"
    UNPARSABLE = "unparsable"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    INVALID_REFERENCE = "invalid_reference"
    # The user's own verifier raised, or gave what is no reward.
    VERIFIER_ERROR = "verifier_error"


class ChatMessage(Record):
    """`content` is plain text, or parts where media stand: a media part's index points into `ScoreRequest.media`."""

    role: Literal["system", "user", "assistant"]
    content: str | tuple[Part, ...]


class ScoreMedia(Record):
    """`width`, `height`: size of the image as the model saw it (after resizing); boxes are in these pixels.

    The bytes are found by `sha256` alone, in a media folder that the service was given; `uri` is for people and logs.
    """

    uri: str
    sha256: str
    kind: Literal["image", "video"]
    width: int
    height: int
    fps: float | None = None
    num_frames: int = 1
    # Size of the stored file, where it differs from the size seen; a reward model resizes it by itself.
    stored_width: int | None = None
    stored_height: int | None = None


class ScoreRequest(Record):
    """`response` is the raw completion, thinking and any forced prefill included. `id` is unique within a batch."""

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
    """`expected_versions`: task -> version of its reward. The service refuses (409) to score with another version."""

    requests: tuple[ScoreRequest, ...]
    expected_versions: dict[RewardTask, str] = Field(default_factory=dict)


class ScoreBatchResponse(Record):
    results: tuple[ScoreResult, ...]
