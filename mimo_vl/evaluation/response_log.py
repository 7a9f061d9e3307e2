"""Append-only log of one model's responses to one task: a cache keyed by content; a run resumes at the next item."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from mimo_vl.canonical import canonical_json
from mimo_vl.evaluation.task import Decoding, TaskSpec
from mimo_vl.schema.record import Record
from mimo_vl.schema.sample import Sample


class Response(Record):
    """One completion as logged. `nats` and `num_tokens` are those of a likelihood task."""

    version: Literal[1] = 1
    key: str
    item_id: str
    sample_index: int
    text: str = ""
    num_tokens: int = 0
    finish_reason: str = ""
    nats: float | None = None
    error: str = ""


def response_key(
    task: TaskSpec,
    sample: Sample,
    sample_index: int,
    *,
    model_digest: str,
    decoding: Decoding,
    max_new_tokens: int,
    seed: int,
) -> str:
    """Digest of everything that decides a response: model, task version, prompt, media, decoding, seed and index."""
    identity = {
        "model": model_digest,
        "task": task.id,
        "version": task.version,
        "item": sample.id,
        "messages": [m.model_dump(mode="json") for m in sample.messages],
        "media": [m.sha256 for m in sample.media],
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_new_tokens": max_new_tokens,
        "seed": seed,
        "sample_index": sample_index,
    }
    return hashlib.sha256(canonical_json(identity)).hexdigest()


class ResponseLog:
    """One JSON line per response. A line torn by a crash is cut off; errors and empty answers are never reused."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._responses: dict[str, Response] = {}
        if path.is_file():
            self._load()

    def __len__(self) -> int:
        return len(self._responses)

    def get(self, key: str) -> Response | None:
        return self._responses.get(key)

    def append(self, responses: Iterable[Response]) -> None:
        """Write and flush before returning: a crash loses at most what was not yet passed in."""
        reusable = [r for r in responses if not r.error and (r.text or r.nats is not None)]
        if not reusable:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.writelines(r.to_json() + b"\n" for r in reusable)
            file.flush()
            os.fsync(file.fileno())
        self._responses.update((r.key, r) for r in reusable)

    def _load(self) -> None:
        good_bytes = 0
        with self._path.open("rb") as file:
            for line in file:
                try:
                    response = Response.from_json(line) if line.endswith(b"\n") else None
                except ValidationError:
                    response = None
                if response is None:
                    break
                self._responses[response.key] = response
                good_bytes += len(line)
        os.truncate(self._path, good_bytes)
