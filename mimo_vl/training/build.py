"""From configuration to a running engine and loop: what pre-training and reward models share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mimo_vl.config.training import CheckpointConfig, OptimizerConfig, ParallelismConfig, ScheduleConfig
from mimo_vl.errors import ConfigError
from mimo_vl.training.callbacks.history import History
from mimo_vl.training.callbacks.reporting import Reporting
from mimo_vl.training.callbacks.throughput import Throughput
from mimo_vl.training.checkpoint import Resume, find_resume
from mimo_vl.training.engine import EngineConfig, TrainingEngine
from mimo_vl.training.flops import FlopCount
from mimo_vl.training.micro_batch import BatchSource
from mimo_vl.training.optimizer import build_adamw
from mimo_vl.training.random_state import seed_everything
from mimo_vl.training.run_context import RunContext
from mimo_vl.training.trainer import LoopConfig, Trainer

# Dense bf16 peak of one GPU by the name that torch reports. Unknown GPUs and CPUs: no MFU.
_PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "H800": 989e12, "A100": 312e12, "H20": 148e12}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One stage as values.

    units_per_step: rows or pairs per optimizer step over all ranks, of the configuration.
    row_tokens_per_step: what those rows have room for; 0 for pairs.
    """

    num_steps: int
    units_per_step: int
    units_per_micro_batch: int
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    parallelism: ParallelismConfig
    checkpoint: CheckpointConfig
    log_every_steps: int
    row_tokens_per_step: int = 0


def num_micro_batches(recipe: Recipe, num_ranks: int) -> int:
    """Micro-batches per rank and step: the step's units stay the same whatever the number of ranks."""
    per_round = num_ranks * recipe.units_per_micro_batch
    if recipe.units_per_step % per_round:
        raise ConfigError(
            f"parallelism: {recipe.units_per_step} rows per step cannot be shared by {num_ranks} ranks x "
            f"{recipe.units_per_micro_batch} rows per micro-batch; use a number of ranks that divides them"
        )
    return recipe.units_per_step // per_round


def set_threads(parallelism: ParallelismConfig) -> None:
    if parallelism.threads_per_rank:
        torch.set_num_threads(parallelism.threads_per_rank)


def build_engine(module: nn.Module, groups: Sequence[Any], recipe: Recipe, context: RunContext) -> EngineAndResume:
    """Wrap `module`, and continue from the newest checkpoint if there is one."""
    world, parallelism = context.world, recipe.parallelism
    seed_everything(context.config.seed, world.rank)
    resume = find_resume(
        [context.checkpoint_dir, context.resume_from],
        stage_key=context.stage_key,
        rows_per_step=recipe.units_per_step,
        scratch=context.scratch_dir,
        world=world,
    )
    optimizer = build_adamw(groups, recipe.optimizer, device=world.device)
    engine = TrainingEngine(
        module.to(world.device).train(),
        optimizer,
        EngineConfig(
            zero_stage=parallelism.zero_stage,
            num_micro_batches=num_micro_batches(recipe, world.size),
            max_grad_norm=recipe.optimizer.max_grad_norm,
            is_bf16=world.is_gpu,
            load_universal=resume is not None and resume.is_universal,
        ),
    )
    if resume is not None:
        resume.restore(engine, world, context.config.seed)
    return EngineAndResume(engine=engine, resume=resume)


@dataclass(frozen=True, kw_only=True)
class EngineAndResume:
    engine: TrainingEngine
    resume: Resume | None


def run_loop(
    built: EngineAndResume,
    source: BatchSource,
    recipe: Recipe,
    context: RunContext,
    *,
    flops: FlopCount,
    kept_values: Callable[[int], dict[str, Any]],
) -> tuple[History, Throughput]:
    """Train to the end. `kept_values`, by the number of steps done, travel in the checkpoints beside the history."""
    history = History()
    first_step = 0
    if built.resume is not None:
        history.restore(built.resume.values["history"])
        first_step = built.resume.step
    throughput = Throughput(flops, peak_flops=peak_flops(context))
    reporting = Reporting(
        context.progress,
        context.tracker,
        throughput,
        history,
        every_steps=recipe.log_every_steps,
        row_tokens_per_step=recipe.row_tokens_per_step,
        world=context.world,
    )
    trainer = Trainer(
        built.engine,
        source,
        LoopConfig(
            num_steps=recipe.num_steps,
            schedule=recipe.schedule,
            checkpoint=recipe.checkpoint,
            checkpoint_folder=context.checkpoint_dir,
        ),
        world=context.world,
        callbacks=[history, throughput, reporting],
        state=lambda step: {
            "history": history.state(),
            "kept": kept_values(step),
            "rows_per_step": recipe.units_per_step,
            "num_ranks": context.world.size,
            "zero_stage": recipe.parallelism.zero_stage,
        },
        seal=context.seal,
        should_stop=context.should_stop,
    )
    trainer.run(first_step)
    return history, throughput


def peak_flops(context: RunContext) -> float | None:
    """Of all ranks together."""
    if not context.world.is_gpu:
        return None
    peak = peak_flops_of(torch.cuda.get_device_name(context.world.device))
    return None if peak is None else peak * context.world.size


def peak_flops_of(gpu: str) -> float | None:
    """Of one GPU, by the name that torch reports; None where it is not known."""
    return next((value for part, value in _PEAK_FLOPS.items() if part in gpu), None)


def write_metrics(folder: Path, values: dict[str, Any]) -> None:
    """metrics.json of the artifact: no times in it."""
    text = json.dumps(values, sort_keys=True, indent=1, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
