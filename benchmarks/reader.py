"""Indexed shards in random order against webdataset with its shuffle buffer: raw bytes of all records, warm page cache.

Records are a picture of log-normal size around 32 KB and a short JSON, in 8 shards. webdataset is configured as its
documentation has it for one process: local shards in random order, a shuffle buffer of 1,000. Ours is a true shuffle;
both must yield the same records. Both read every byte; ours checked its checksums in the warm-up pass.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import BenchRow, interleaved_medians
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.data.record import Record
from mimo_vl.data.step import Tally
from mimo_vl.data.writers.dataset import seal_dataset
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.schema.sample import MediaPart, MediaRef, Message, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, Split

NUM_RECORDS, NUM_SHARDS, MEAN_LOG_BYTES, SIGMA = 8000, 8, 10.2, 0.5
BUFFER = 1000
LIMIT = 8.0


def run() -> list[BenchRow]:
    import webdataset

    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        _write(directory)
        dataset = IndexedDataset(directory)
        order = np.random.default_rng(0).permutation(len(dataset)).tolist()
        urls = [str(p) for p in sorted(directory.glob("shard-*.tar"))]
        shuffled = webdataset.WebDataset(urls, shardshuffle=len(urls), seed=0, empty_check=False).shuffle(BUFFER)

        def ours() -> int:
            num_bytes = 0
            for i in order:
                raw = dataset.raw(i)
                num_bytes += len(raw.text) + sum(map(len, raw.media))
            return num_bytes

        def baseline() -> int:
            return sum(len(item["json"]) + len(item["0.png"]) for item in shuffled)

        theirs = {item["__key__"]: hashlib.sha256(item["json"] + item["0.png"]).hexdigest() for item in shuffled}
        mine = {}
        for i in order:
            raw = dataset.raw(i)
            mine[Sample.from_json(raw.text).id] = hashlib.sha256(raw.text + b"".join(raw.media)).hexdigest()
        times = interleaved_medians(ours, baseline)
        num_bytes = ours()
    rates = [NUM_RECORDS / seconds for seconds in times]
    return [
        BenchRow(
            name="shuffled read",
            ours=rates[0],
            baseline=rates[1],
            unit="samples/s",
            ratio=rates[0] / rates[1],
            equal=mine == theirs,
            limit=LIMIT,
            note=f"{NUM_RECORDS} records, {num_bytes / 2**20:.0f} MiB, {NUM_SHARDS} shards, one process, page cache; "
            f"webdataset {webdataset.__version__}, buffer {BUFFER}; ours in a true random order",
        )
    ]


def _write(directory: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.normal(MEAN_LOG_BYTES, SIGMA, NUM_RECORDS)).astype(int).clip(1024, 2**19)
    markers = []
    for shard in range(NUM_SHARDS):
        writer = ShardWriter(directory, shard)
        for number in range(shard, NUM_RECORDS, NUM_SHARDS):
            writer.write(_record(number, rng.bytes(int(sizes[number]))), num_tokens=64, num_patches=64)
        markers.append(writer.close(Tally(seen=NUM_RECORDS // NUM_SHARDS)))
    seal_dataset(directory, "bench", markers)


def _record(number: int, data: bytes) -> Record:
    ref = MediaRef(sha256=hashlib.sha256(data).hexdigest(), kind="image", width=224, height=224)
    message = Message(role="document", parts=(MediaPart(index=0), TextPart(text="A caption of this picture.")))
    sample = Sample(
        id=f"bench-{number:05d}",
        data_type=DataType.CAPTION,
        language=Language.EN,
        split=Split.TRAIN,
        messages=(message,),
        media=(ref,),
    )
    return Record(sample=sample, media=(data,))
