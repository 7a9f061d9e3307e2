"""Small records and datasets for the tests of this folder."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

from mimo_vl.data.record import Record
from mimo_vl.data.step import Tally
from mimo_vl.data.writers.dataset import seal_dataset
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.schema.sample import MediaPart, MediaRef, Message, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, Split


def png(width: int = 56, height: int = 56, shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (shade % 256, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def record(name: str = "s", *images: bytes, width: int = 56, height: int = 56, text: str = "") -> Record:
    refs = tuple(
        MediaRef(sha256=hashlib.sha256(i).hexdigest(), kind="image", width=width, height=height) for i in images
    )
    parts = (*(MediaPart(index=i) for i in range(len(images))), TextPart(text=text or name))
    sample = Sample(
        id=name,
        data_type=DataType.CAPTION,
        language=Language.EN,
        split=Split.TRAIN,
        messages=(Message(role="document", parts=parts),),
        media=refs,
    )
    return Record(sample=sample, media=images)


def write_dataset(directory: Path, records: list[Record], *, shard_size: int = 2) -> None:
    markers = []
    for number, start in enumerate(range(0, len(records), shard_size)):
        writer = ShardWriter(directory, number)
        for offset, item in enumerate(records[start : start + shard_size]):
            writer.write(item, num_tokens=10 + start + offset, num_patches=16)
        markers.append(writer.close(Tally(seen=shard_size)))
    seal_dataset(directory, directory.name, markers)
