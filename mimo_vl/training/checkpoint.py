"""What is in a training checkpoint, and how does a run continue from one, at the same or another number of ranks?

step-<k>/state/…                 weights and optimizer shards (DeepSpeed)
step-<k>/trainer.json            step, losses so far, shape of the run, state of the row plan (rank 0)
step-<k>/random-rank-<r>.json    random states of rank r
step-<k>/complete.json           digests of all of it, written last
The order of the data is a pure function of the step; the plan's state saves planning all rows before it once more.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimo_vl.errors import ConfigError
from mimo_vl.storage.checkpoints import newest_complete, verify_checkpoint
from mimo_vl.storage.layout import step_dir
from mimo_vl.training.engine import TrainingEngine, convert_to_universal
from mimo_vl.training.random_state import capture_random_state, restore_random_state, seed_everything
from mimo_vl.training.world import World, barrier

logger = logging.getLogger(__name__)

_TRAINER, _RANDOM = "trainer.json", "random-rank-{rank}.json"
_RESHARDED = "resharded"

# Uploads and seals `step-<k>`, removes older ones: (step, keep) -> None. Every rank calls it; it may be a collective.
Seal = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Resume:
    """A verified checkpoint. `directory` holds the engine state; `is_universal`: it has been converted."""

    directory: Path
    step: int
    values: dict[str, Any]
    is_universal: bool
    checkpoint: Path

    def restore(self, engine: TrainingEngine, world: World, seed: int) -> None:
        """Load weights, optimizer and random states."""
        engine.load(self.directory)
        if self.is_universal:
            seed_everything(seed, world.rank)
            barrier(world)
            if world.is_first_of_node:
                shutil.rmtree(self.directory)
        else:
            path = self.checkpoint / _RANDOM.format(rank=world.rank)
            restore_random_state(json.loads(path.read_text(encoding="utf-8")))
        logger.info("resumed step=%d from=%s", self.step, self.checkpoint.name)


def find_resume(
    folders: list[Path | None],
    *,
    stage_key: str,
    rows_per_step: int,
    scratch: Path,
    world: World,
) -> Resume | None:
    """Newest complete checkpoint in any of the folders, verified; None without any. Every rank calls it.

    A checkpoint of another number of ranks is converted before the engine is built, once per node, under `scratch`.

    Raises:
        InputError, DigestMismatchError: the checkpoint is not what was sealed.
        ConfigError: its steps had another number of rows, or ZeRO-0 at another number of ranks.
    """
    found = [path for folder in folders if folder is not None and (path := newest_complete(folder)) is not None]
    if not found:
        return None
    checkpoint = max(found, key=lambda path: int(path.name.removeprefix("step-")))
    # Digests are compared on every rank: each unpickles its own shard.
    record = verify_checkpoint(checkpoint, stage_key=stage_key)
    values = json.loads((checkpoint / _TRAINER).read_text(encoding="utf-8"))
    if values["rows_per_step"] != rows_per_step:
        raise ConfigError(
            f"parallelism: {rows_per_step} rows per step, but checkpoint {checkpoint.name} was trained with "
            f"{values['rows_per_step']}; keep num_ranks * accumulation_steps * rows_per_micro_batch"
        )
    is_universal = values["num_ranks"] != world.size
    directory = checkpoint
    if is_universal:
        directory = scratch / _RESHARDED
        _reshard(checkpoint, directory, zero_stage=values["zero_stage"], world=world)
    return Resume(
        directory=directory, step=record.step, values=values, is_universal=is_universal, checkpoint=checkpoint
    )


def save_checkpoint(
    engine: TrainingEngine,
    folder: Path,
    *,
    step: int,
    values: dict[str, Any],
    world: World,
    seal: Seal,
    keep: int,
) -> None:
    """Write `step-<k>` under `folder` and seal it. Every rank calls it."""
    directory = folder / step_dir(step)
    if world.is_main and directory.exists():
        # Left by an attempt that died while it was writing.
        shutil.rmtree(directory)
    barrier(world)
    engine.save(directory)
    if world.is_main:
        (directory / _TRAINER).write_text(json.dumps(values, sort_keys=True), encoding="utf-8")
    (directory / _RANDOM.format(rank=world.rank)).write_text(json.dumps(capture_random_state()), encoding="utf-8")
    barrier(world)
    seal(step, keep)
    barrier(world)


def _reshard(checkpoint: Path, directory: Path, *, zero_stage: int, world: World) -> None:
    if zero_stage == 0:
        convert_to_universal(checkpoint, directory, zero_stage=0)
    if world.is_first_of_node:
        shutil.rmtree(directory, ignore_errors=True)
        convert_to_universal(checkpoint, directory, zero_stage=zero_stage)
    barrier(world)
