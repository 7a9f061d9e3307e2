"""Whether the body of POST /v1/score is acceptable: pure checks, each failure a status code and a clear message."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mimo_vl.schema.reward import ScoreBatchRequest, ScoreRequest, ScoreResult
from mimo_vl.vocabulary import RewardTask

MAX_BATCH = 256
# Media travel by reference, so a batch is text only; 32 MiB holds 256 completions of 32 K tokens.
MAX_BODY_BYTES = 32 * 1024 * 1024


# Every status that is no success and that the service itself answers with; docs/rest.md shows them.
REFUSALS: Mapping[int, str] = {
    400: "the body is no JSON",
    401: "the bearer token is missing or wrong",
    404: "no such route",
    409: "`expected_versions` names another version than the one that scores",
    413: f"more than {MAX_BATCH} requests, or more than {MAX_BODY_BYTES // 1024**2} MiB",
    422: "a field is unknown, missing or of a wrong type, or one id names two different requests",
    503: "the queue of a judge is full; `Retry-After` says when to send the batch again",
}


class RejectedError(Exception):
    """A request that is answered with `status`, one of REFUSALS, and `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def check_token(header: str | None, token: str) -> None:
    """Compare in constant time."""
    scheme, _, given = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise RejectedError(401, "missing or wrong bearer token; send `Authorization: Bearer <token>`")


def parse_batch(body: bytes) -> ScoreBatchRequest:
    if len(body) > MAX_BODY_BYTES:
        raise RejectedError(413, f"body has {len(body)} bytes, at most {MAX_BODY_BYTES}; send smaller batches")
    try:
        batch = ScoreBatchRequest.from_json(body)
    except ValidationError as error:
        problems = [_describe(e) for e in error.errors(include_url=False)]
        is_json = not any(e["type"] == "json_invalid" for e in error.errors())
        raise RejectedError(422 if is_json else 400, "; ".join(problems[:5])) from error
    if len(batch.requests) > MAX_BATCH:
        raise RejectedError(413, f"requests: got {len(batch.requests)}, at most {MAX_BATCH} per call; split the batch")
    return batch


def _describe(error: ErrorDetails) -> str:
    path = ".".join(str(part) for part in error["loc"])
    shown = f" (got {str(error.get('input'))[:60]!r})" if error["type"] == "enum" else ""
    return f"{path or 'body'}: {error['msg']}{shown}"


def distinct_requests(requests: Sequence[ScoreRequest]) -> dict[str, ScoreRequest]:
    """By id, in order. The same request twice is one; the same id for two different requests is rejected."""
    by_id: dict[str, ScoreRequest] = {}
    for request in requests:
        if by_id.setdefault(request.id, request) != request:
            raise RejectedError(422, f"id {request.id!r} names two different requests; ids are unique within a batch")
    return by_id


def check_versions(
    expected: dict[RewardTask, str], requests: Sequence[ScoreRequest], results: Sequence[ScoreResult]
) -> None:
    """A batch must not mix reward versions: `expected` maps tasks to `<reward_name>/<version>`."""
    for request, result in zip(requests, results, strict=True):
        actual = f"{result.reward_name}/{result.version}"
        wanted = expected.get(request.task)
        if wanted is not None and result.reward is not None and actual != wanted:
            raise RejectedError(
                409, f"task {request.task}: this service scores with {actual}, the caller wants {wanted}"
            )
