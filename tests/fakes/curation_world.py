"""Prompts for curate-rl as curate leaves them: datasets of an RL family, and of preference queries."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from mimo_vl.data.record import Record
from mimo_vl.data.step import Tally
from mimo_vl.data.writers.dataset import seal_dataset
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.schema.sample import MediaPart, MediaRef, Message, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily, Split

WIDTH, HEIGHT = 56, 84


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), "teal").save(file, "PNG")
    return file.getvalue()


def prompt(
    name: str, *, family: RlFamily | None = None, sources: tuple[str, ...] = (), has_picture: bool = False
) -> Record:
    """A question whose right answer is 1; without a family a preference query."""
    data = (picture(),) if has_picture else ()
    media = tuple(
        MediaRef(sha256=hashlib.sha256(d).hexdigest(), kind="image", width=WIDTH, height=HEIGHT) for d in data
    )
    shown = tuple(MediaPart(index=i) for i in range(len(media)))
    sample = Sample(
        id=name,
        data_type=DataType.INSTRUCTION,
        language=Language.EN,
        split=Split.TRAIN,
        messages=(Message(role="user", parts=(*shown, TextPart(text=f"question {name}"))),),
        media=media,
        task=RewardTask.COUNTING if family is RlFamily.COUNTING else RewardTask.PREFERENCE_TEXT,
        family=family,
        reference="1",
        source_ids=sources,
        meta={"expected": "1"},
    )
    return Record(sample=sample, media=data)


def write_dataset(folder: Path, records: Sequence[Record]) -> None:
    """Named like the folder; record i costs 10 + i tokens, and 24 patches per picture."""
    writer = ShardWriter(folder, 0)
    for number, record in enumerate(records):
        writer.write(record, num_tokens=10 + number, num_patches=24 * len(record.media))
    seal_dataset(folder, folder.name, [writer.close(Tally(seen=len(records), kept=len(records)))])
