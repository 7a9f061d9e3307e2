"""How curation runs from recipes to sealed datasets and report.json; a second run changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mimo_vl.canonical import canonical_json
from mimo_vl.data.executors.local import run_tasks
from mimo_vl.data.pipelines.curate import ShardTask, Workshop, make_shard, shard_tasks_of
from mimo_vl.data.pipelines.custom import CustomRecipe
from mimo_vl.data.pipelines.recipe import Form
from mimo_vl.data.sources import load_sources
from mimo_vl.data.split import split_sources
from mimo_vl.data.writers.dataset import first_occurrences, seal_dataset
from mimo_vl.data.writers.index import DATASET_FILE, DatasetInfo, ShardMarker
from mimo_vl.data.writers.shard import write_atomically
from mimo_vl.vocabulary import Split

REPORT_FILE = "report.json"

OnShard = Callable[[int, int, str], None]
"""(shards done, shards in all, dataset name)."""


def write_datasets(
    workshop: Workshop, out_dir: Path, *, num_workers: int = 1, on_shard: OnShard | None = None
) -> dict[str, DatasetInfo]:
    """Write `datasets/<name>/` and REPORT_FILE."""
    tasks = shard_tasks_of(workshop, out_dir / "datasets")
    markers: dict[str, list[ShardMarker]] = {task.recipe.name: [] for task in tasks}

    def make(wave: Sequence[ShardTask], num_done: int) -> None:
        results = run_tasks(partial(make_shard, workshop), wave, num_workers=num_workers)
        for done, (task, marker) in enumerate(zip(wave, results, strict=True), start=num_done + 1):
            markers[task.recipe.name].append(marker)
            if on_shard is not None:
                on_shard(done, num_done + len(wave), task.recipe.name)

    make(tasks, 0)
    make(_replacements(tasks, markers), len(tasks))
    infos = {name: _seal(out_dir / "datasets" / name, name, found) for name, found in markers.items()}
    report = {
        "datasets": {n: _summary(infos[n], markers[n]) for n in infos},
        "splits": _describe_splits(workshop, tasks),
    }
    _write_if_changed(out_dir / REPORT_FILE, canonical_json(report))
    return infos


def _replacements(tasks: Sequence[ShardTask], markers: Mapping[str, Sequence[ShardMarker]]) -> list[ShardTask]:
    """One more shard for each dataset whose shards have records in common: as many new ones."""
    found = []
    for last in {task.recipe.name: task for task in tasks}.values():
        shards = markers[last.recipe.name]
        num_lost = sum(len(shard.digests) for shard in shards) - len(first_occurrences(shards))
        if num_lost:
            known = frozenset(digest for shard in shards for digest in shard.digests)
            found.append(replace(last, number=last.number + 1, size=num_lost, known=known))
    return found


def _seal(directory: Path, name: str, markers: Sequence[ShardMarker]) -> DatasetInfo:
    path = directory / DATASET_FILE
    if path.is_file():
        info = DatasetInfo.from_json(path.read_bytes())
        if info.shards == tuple(m.shard for m in markers):
            return info
    return seal_dataset(directory, name, markers)


def _summary(info: DatasetInfo, markers: Sequence[ShardMarker]) -> Mapping[str, Any]:
    """`seen` = `kept` + dropped: candidates that were looked at until the dataset was full."""
    dropped: Counter[str] = Counter()
    for marker in markers:
        dropped.update(marker.dropped)
    num_repeated = sum(m.shard.num_samples for m in markers) - info.num_samples
    if num_repeated:
        dropped["duplicate"] += num_repeated
    return {
        "kept": info.num_samples,
        "seen": sum(m.num_seen for m in markers),
        "dropped": dict(sorted(dropped.items())),
        "tokens": info.num_tokens,
        "patches": info.num_patches,
    }


def _describe_splits(workshop: Workshop, tasks: Sequence[ShardTask]) -> Mapping[str, Any]:
    facts: dict[str, dict[str, Any]] = {split.value: {} for split in Split}
    if workshop.synthesis is not None:
        for split, sources in _describe_sources(workshop.seed, workshop.synthesis.heldout_fraction).items():
            facts[split].update(sources)
    for task in tasks:
        if isinstance(task.recipe, CustomRecipe) and task.recipe.form is Form.TRAINING:
            facts[task.recipe.split.value]["custom_lines"] = task.size
    return facts


def _describe_sources(seed: int, heldout_fraction: float) -> Mapping[str, Any]:
    parts = split_sources(load_sources(), seed=seed, heldout_fraction=heldout_fraction)
    return {
        split.value: {
            "digits": len(part.digits),
            "photographs": [p.name for p in part.photographs],
            "paragraphs": len(part.paragraphs),
        }
        for split, part in parts.items()
    }


def _write_if_changed(path: Path, data: bytes) -> None:
    if not path.is_file() or path.read_bytes() != data:
        write_atomically(path, data)
