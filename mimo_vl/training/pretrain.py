"""A pre-training stage from its inputs to its artifact: model/ and metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mimo_vl.config.training import Component, StageConfig
from mimo_vl.data.plan import PlanState, RowPlan
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.model.checkpoint import load_model, save_model
from mimo_vl.model.freeze import apply_freeze_plan, enable_checkpointing, parameter_groups
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.training.build import EngineAndResume, Recipe, build_engine, run_loop, set_threads, write_metrics
from mimo_vl.training.flops import count_flops
from mimo_vl.training.heldout import HeldoutBatch, build_heldout_batch, mean_loss
from mimo_vl.training.row_source import RowSource
from mimo_vl.training.run_context import RunContext
from mimo_vl.training.step_modules import SupervisedStep
from mimo_vl.training.tokenizer_files import copy_tokenizer
from mimo_vl.training.world import barrier
from mimo_vl.vocabulary import PRETRAINING_STAGES, StageName


def run_pretraining(context: RunContext) -> dict[str, float]:
    """Train the stage; write the artifact on rank 0. Returns the metrics of the manifest."""
    config = context.config.stages[context.stage]
    set_threads(config.parallelism)
    folder = context.input_dir(previous_stage(context.stage)) / "model"
    encoder = SampleEncoder(load_tokenizer(folder), context.config.processing)
    module = _build_module(folder, config, context)
    groups = parameter_groups(module.model, _component_lrs(config), weight_decay=config.optimizer.weight_decay)
    recipe = stage_recipe(config)
    built = build_engine(module, groups, recipe, context)
    heldout = _heldout(config, encoder, context)
    loss_first = _loss_first(built, heldout, context)
    datasets = open_datasets(context.input_dir(StageName.CURATE) / "datasets", "train", _mixture(config))
    plan = _row_plan(datasets, config, recipe, built, context)
    history, throughput = run_loop(
        built,
        RowSource(plan, datasets, encoder, rows_per_micro_batch=recipe.units_per_micro_batch, world=context.world),
        recipe,
        context,
        flops=count_flops(context.config.model, trainable=config.trainable, vocab_size=encoder.tokenizer.vocab_size),
        kept_values=lambda step: {"loss_first": loss_first, "plan": plan.state(step).to_values()},
    )
    loss_last = mean_loss(built.engine, heldout, context.world)
    values = {
        "loss_first": loss_first,
        "loss_last": loss_last,
        "tokens": float(history.num_tokens),
        "patches": float(history.num_patches),
        "targets": float(history.num_targets),
        "steps": float(config.num_steps),
    }
    with built.engine.gathered():
        if context.world.is_main:
            save_model(module.model, context.out_dir / "model")
            copy_tokenizer(folder, context.out_dir / "model")
            capacity = {"row_tokens_per_step": recipe.row_tokens_per_step}
            write_metrics(context.out_dir, {**values, **capacity, "history": history.steps})
    barrier(context.world)
    return {**values, **throughput.rates()}


def previous_stage(stage: StageName) -> StageName:
    """Whose model a stage starts from: each continues the one before, the first continues `base`."""
    index = PRETRAINING_STAGES.index(stage)
    return PRETRAINING_STAGES[index - 1] if index else StageName.BASE


def stage_recipe(config: StageConfig) -> Recipe:
    parallelism = config.parallelism
    rows_per_step = parallelism.num_ranks * parallelism.accumulation_steps * parallelism.rows_per_micro_batch
    return Recipe(
        num_steps=config.num_steps,
        units_per_step=rows_per_step,
        row_tokens_per_step=rows_per_step * config.sequence_length,
        units_per_micro_batch=parallelism.rows_per_micro_batch,
        optimizer=config.optimizer,
        schedule=config.schedule,
        parallelism=parallelism,
        checkpoint=config.checkpoint,
        log_every_steps=config.log_every_steps,
    )


def open_datasets(folder: Path, prefix: str, mixture: Mapping[str, float]) -> dict[str, IndexedDataset]:
    """`<prefix>-<data type>` for every type with a positive weight."""
    return {name: IndexedDataset(folder / f"{prefix}-{name}") for name, weight in sorted(mixture.items()) if weight > 0}


def _build_module(folder: Path, config: StageConfig, context: RunContext) -> SupervisedStep:
    model = load_model(folder, dtype=context.world.dtype)
    apply_freeze_plan(model, config.trainable)
    enable_checkpointing(
        model, vision=config.parallelism.checkpoint_vision, language=config.parallelism.checkpoint_language
    )
    return SupervisedStep(model, chunk=config.cross_entropy_chunk)


def _component_lrs(config: StageConfig) -> dict[Component, float]:
    return {component: config.component_lr.get(component, config.lr) for component in config.trainable}


def _mixture(config: StageConfig) -> dict[str, float]:
    return {data_type.value: weight for data_type, weight in config.mixture.items()}


def _row_plan(
    datasets: Mapping[str, IndexedDataset],
    config: StageConfig,
    recipe: Recipe,
    built: EngineAndResume,
    context: RunContext,
) -> RowPlan:
    plan = RowPlan(
        {name: dataset.costs() for name, dataset in datasets.items()},
        mixture=_mixture(config),
        # Each stage draws its own order.
        seed=context.config.seed + PRETRAINING_STAGES.index(context.stage),
        capacity_tokens=config.sequence_length,
        capacity_patches=config.max_patches_per_row,
        rows_per_step=recipe.units_per_step,
    )
    if built.resume is not None:
        plan.continue_from(PlanState.from_values(built.resume.values["kept"]["plan"]))
    return plan


def _heldout(config: StageConfig, encoder: SampleEncoder, context: RunContext) -> HeldoutBatch:
    mixture = _mixture(config)
    return build_heldout_batch(
        open_datasets(context.input_dir(StageName.CURATE) / "datasets", "heldout", mixture),
        encoder,
        mixture=mixture,
        num_samples=config.heldout_samples,
        capacity=(config.sequence_length, config.max_patches_per_row),
        world=context.world,
    )


def _loss_first(built: EngineAndResume, heldout: HeldoutBatch, context: RunContext) -> float:
    if built.resume is not None:
        return float(built.resume.values["kept"]["loss_first"])
    return mean_loss(built.engine, heldout, context.world)
