"""The HTTP contract of the reward service: POST /v1/score (report 3.3, "Reward-as-a-Service")."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field

from mimo_vl.schema.record import DescribedRecord
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


# What each says of a completion; docs/rest.md shows it.
STATUS_MEANING: Mapping[ScoreStatus, str] = {
    ScoreStatus.SCORED: "judged; `reward` says how good",
    ScoreStatus.UNPARSABLE: "judged: no answer that the rule can read, or one that a guard refuses; the reward is 0",
    ScoreStatus.TIMEOUT: "not judged in time; the reward is null",
    ScoreStatus.UNAVAILABLE: "not judged: its judge is missing or failed; the reward is null, `reason` says why",
    ScoreStatus.INVALID_REFERENCE: "not judged: `reference` is not what the task needs; the reward is null",
    ScoreStatus.VERIFIER_ERROR: "not judged: the own verifier raised, or gave what is no reward; the reward is null",
}


class ChatMessage(DescribedRecord):
    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str | tuple[Part, ...]
    """Plain text, or parts where media stand."""


class ScoreMedia(DescribedRecord):
    """The bytes are found by `sha256` alone, in a media folder that the service was given."""

    uri: str
    """For people and logs; nothing is fetched from it."""
    sha256: str
    """Digest of the stored file."""
    kind: Literal["image", "video"]
    """What it is."""
    width: int
    """Pixels of the image as the model saw it, after resizing; boxes are in these."""
    height: int
    """As `width`."""
    fps: float | None = None
    """Frames per second of a video; null for images."""
    num_frames: int = 1
    """Frames of a video; 1 for images."""
    stored_width: int | None = None
    """Pixels of the stored file, where they differ from those seen; a reward model resizes it by itself."""
    stored_height: int | None = None
    """As `stored_width`."""


class ScoreRequest(DescribedRecord):
    id: str
    """Names the result. The same request twice is scored once; one id for two different requests is refused."""
    task: RewardTask
    """Decides which rule or reward model judges."""
    prompt: tuple[ChatMessage, ...]
    """The chat up to the completion."""
    response: str
    """The raw completion, thinking and any forced prefill included."""
    reference: str | None = None
    """What is right, in the form that the task needs; null for preference tasks."""
    media: tuple[ScoreMedia, ...] = ()
    """What the parts of the prompt point at. Media that no part names come before the first text of the user."""


class ScoreResult(DescribedRecord):
    id: str
    """Of the request."""
    reward: float | None = Field(default=None, ge=0.0, le=1.0)
    """Null when the completion could not be judged: nothing may be trained on it."""
    status: ScoreStatus
    """Whether the completion was judged."""
    breakdown: dict[str, float] = Field(default_factory=dict)
    """Raw numbers behind the reward, such as `giou`; for logs."""
    reward_name: str
    """The rule, or the mapping of the reward model's score."""
    version: str
    """Of the rule, or of the reward model's weights (12 digits of their sha256); `none` when nothing judged."""
    latency_ms: float = 0.0
    """Time of the judge for this request."""
    reason: str = ""
    """Why there is no reward, or why it is 0; empty when `scored`."""


class ScoreBatchRequest(DescribedRecord):
    requests: tuple[ScoreRequest, ...]
    """What to score. Completions of one prompt belong in one batch where a reward is a rank among them."""
    expected_versions: dict[RewardTask, str] = Field(default_factory=dict)
    """Task to `<reward_name>/<version>`. The service refuses (409) to score with another."""


class ScoreBatchResponse(DescribedRecord):
    results: tuple[ScoreResult, ...]
    """One for each request, in their order."""
