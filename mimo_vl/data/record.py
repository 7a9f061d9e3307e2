"""What flows through data pipelines and comes out of datasets: a sample with the bytes of its media."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from mimo_vl.canonical import canonical_json
from mimo_vl.schema.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Record:
    """`media[i]` holds the bytes of `sample.media[i]`."""

    sample: Sample
    media: tuple[bytes, ...] = ()


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content_digest(record: Record) -> str:
    """Equal for records with the same words and the same media, whatever their ids."""
    content = {
        "messages": [m.model_dump(mode="json") for m in record.sample.messages],
        "media": [m.sha256 for m in record.sample.media],
    }
    return sha256_hex(canonical_json(content))
