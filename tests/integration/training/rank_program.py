"""One rank of the scenarios below, started by the tests: `python -m tests.integration.training.rank_program NAME DIR`.

Several engines are built in one process, one after the other: starting a rank costs more than training its few steps.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mimo_vl.config.training import CheckpointConfig, Component, OptimizerConfig, ParallelismConfig, ScheduleConfig
from mimo_vl.errors import MimoError
from mimo_vl.model.freeze import apply_freeze_plan, parameter_groups
from mimo_vl.processing.packed_row import EncodedSample, pack_row
from mimo_vl.storage.layout import step_dir
from mimo_vl.training.build import Recipe, build_engine, run_loop
from mimo_vl.training.engine import start_distributed, stop_distributed
from mimo_vl.training.flops import FlopCount
from mimo_vl.training.micro_batch import MicroBatch
from mimo_vl.training.row_source import micro_batch_of
from mimo_vl.training.run_context import RunContext
from mimo_vl.training.step_modules import SupervisedStep
from mimo_vl.training.world import World
from mimo_vl.vocabulary import StageName
from tests.fakes.checkpoints import complete
from tests.fakes.tiny_vlm import build_model, image_prompt, text_prompt

ROWS_PER_STEP = 4
# ZeRO-3 adds gradients up in another order, which changes them by 1e-7 of the largest. AdamW turns that into steps of
# another size wherever a gradient is about as small as its eps, and training amplifies that with the square of
# the rate: over 24 steps the losses of ZeRO-0 and ZeRO-3 differ by 3e-4 at ten times these rates, by 3e-6 here.
LRS = {Component.VISION: 1e-4, Component.PROJECTOR: 3e-4, Component.LANGUAGE: 2e-4}


class Rows:
    """Four rows per step: images, text only, one without any target, unequal lengths. A pure function of the step."""

    groups = ("counting", "reasoning")

    def __init__(self, world: World) -> None:
        self._world = world
        self._images = build_model()
        self.sample_ids: list[list[str]] = []

    def micro_batches(self, step: int) -> list[MicroBatch]:
        rows = [self._row(step, slot) for slot in range(ROWS_PER_STEP)]
        self.sample_ids.append([i for row in rows for i in row.sample_ids_S])
        share = ROWS_PER_STEP // self._world.size
        return rows[self._world.rank * share : (self._world.rank + 1) * share]

    def _row(self, step: int, slot: int) -> MicroBatch:
        rng = np.random.default_rng([step, slot])
        samples: list[EncodedSample] = []
        for k in range(1 + slot):
            name = f"{step}-{slot}-{k}"
            # The second half of the rows is text only: with two ranks, all of rank 1.
            sample = (
                image_prompt(name, self._images, seed=step * 10 + k)
                if slot < 2
                else text_prompt(name, rng.integers(6, 60, size=4 + 3 * k).tolist())
            )
            sample.supervised_T[-2:] = slot != 3
            if slot != 3 and k == 0:
                sample.supervised_T[-3:] = True
            samples.append(sample)
        return micro_batch_of(pack_row(samples))


class Logged:
    """What a tracker is given, by step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        assert step > len(self.steps)
        self.steps.append(dict(metrics))


def train(
    world: World,
    folder: Path,
    *,
    zero_stage: int,
    num_steps: int,
    every: int = 1000,
    resume: Path | None = None,
    kill_after: int | None = None,
    poison: str = "",
) -> dict[str, Any]:
    """Train a random model of a few thousand parameters; losses, gradient norms, weights and sample ids of the run."""
    torch.set_num_threads(1)
    module = SupervisedStep(build_model(), chunk=8)
    apply_freeze_plan(module.model, tuple(Component))
    recipe = Recipe(
        num_steps=num_steps,
        units_per_step=ROWS_PER_STEP,
        units_per_micro_batch=1,
        optimizer=OptimizerConfig(),
        schedule=ScheduleConfig(kind="linear", final_lr_ratio=0.1),
        parallelism=ParallelismConfig(num_ranks=world.size, zero_stage=zero_stage),
        checkpoint=CheckpointConfig(every_steps=every, keep_last=2),
        log_every_steps=1,
    )

    def seal(step: int, keep: int) -> None:
        if world.is_main:
            complete(folder / step_dir(step), step=step, stage_key="key")
            if step == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)

    logged = Logged()
    context = RunContext(
        stage=StageName.LONG_CONTEXT_SFT,
        config=type("Config", (), {"seed": 0})(),
        stage_key="key",
        out_dir=folder,
        checkpoint_dir=folder,
        resume_from=resume,
        scratch_dir=folder / "scratch",
        world=world,
        input_dir=lambda name: folder / name,
        progress=lambda *_args, **_kwargs: None,
        tracker=logged,
        seal=seal,
        should_stop=lambda: False,
    )
    groups = parameter_groups(module.model, LRS, weight_decay=0.1)
    built = build_engine(module, groups, recipe, context)
    if poison:
        with torch.no_grad():
            dict(module.named_parameters())[poison].fill_(float("nan"))
    rows = Rows(world)
    first = 0 if built.resume is None else built.resume.step
    history, _ = run_loop(
        built,
        rows,
        recipe,
        context,
        flops=FlopCount(per_token=1, per_pair=1, per_patch=1),
        kept_values=lambda _: {"loss_first": 0.0},
    )
    with built.engine.gathered():
        weights = {n: float(p.detach().double().abs().sum()) for n, p in module.named_parameters()}
        bits = {n: p.detach().view(torch.int32).sum().item() for n, p in module.named_parameters()}
    return {
        "losses": [entry["loss"] for entry in history.steps],
        "norms": [entry["grad_norm"] for entry in history.steps],
        "weights": weights,
        "bits": bits,
        "ids": rows.sample_ids[: num_steps - first],
        "imbalance": [(m["train/token_imbalance"], m["train/patch_imbalance"]) for m in logged.steps],
    }


def all_stages(world: World, folder: Path) -> dict[str, Any]:
    """Every ZeRO stage, 24 steps, a checkpoint after step 4."""
    result = {}
    for zero_stage in range(4):
        result[str(zero_stage)] = train(
            world, folder / f"zero-{zero_stage}", zero_stage=zero_stage, num_steps=24, every=4
        )
    return result


def resume_elsewhere(world: World, folder: Path) -> dict[str, Any]:
    """Continue the checkpoints of `all_stages` after step 4 at this number of ranks."""
    result: dict[str, Any] = {}
    for zero_stage in range(4):
        # Another folder for new checkpoints: the old ones stay as they are.
        fresh = folder / f"zero-{zero_stage}-at-{world.size}"
        fresh.mkdir(exist_ok=True)
        try:
            result[str(zero_stage)] = train(
                world, fresh, zero_stage=zero_stage, num_steps=24, resume=folder / f"only-4-zero-{zero_stage}"
            )
        except MimoError as error:
            result[str(zero_stage)] = {"error": f"{type(error).__name__}: {error}"}
    return result


def killed(world: World, folder: Path) -> dict[str, Any]:
    """kill -9 of rank 0 right after the checkpoint of step 4."""
    return train(world, folder / "killed", zero_stage=1, num_steps=8, every=4, kill_after=4)


def after_kill(world: World, folder: Path) -> dict[str, Any]:
    return {
        "resumed": train(world, folder / "killed", zero_stage=1, num_steps=8),
        "whole": train(world, folder / "whole", zero_stage=1, num_steps=8),
    }


def nan(world: World, folder: Path) -> dict[str, Any]:
    """A weight that only text-only rows do not meet is poisoned: the losses of rows with images are not finite."""
    train(world, folder / "nan", zero_stage=1, num_steps=2, poison="model.model.visual.blocks.0.norm1.weight")
    return {}


def main() -> int:
    name, folder = sys.argv[1], Path(sys.argv[2])
    world = World(
        rank=int(os.environ["RANK"]), size=int(os.environ["WORLD_SIZE"]), local_rank=int(os.environ["LOCAL_RANK"])
    )
    start_distributed(world)
    try:
        result = globals()[name](world, folder)
    except MimoError as error:
        (folder / f"{name}-error-{world.rank}.txt").write_text(f"{type(error).__name__}: {error}")
        stop_distributed(is_orderly=False)
        return error.exit_code
    if world.is_main:
        (folder / f"{name}-{world.size}.json").write_text(json.dumps(result))
    stop_distributed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
