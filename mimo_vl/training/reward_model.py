"""A reward model from its inputs to its artifact: trunk and head in model/, pairwise accuracy in metrics.json."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from mimo_vl.config.model import ModelConfig
from mimo_vl.config.training import Component, RewardModelConfig
from mimo_vl.model.checkpoint import load_model
from mimo_vl.model.freeze import enable_checkpointing
from mimo_vl.model.reward_head import RewardModel, save_reward_model
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.training.build import Recipe, build_engine, run_loop, set_threads, write_metrics
from mimo_vl.training.engine import TrainingEngine
from mimo_vl.training.flops import FlopCount, count_flops
from mimo_vl.training.pair_accuracy import pair_accuracy
from mimo_vl.training.pair_source import PairSet, PairSource, pair_micro_batch, read_pairs
from mimo_vl.training.run_context import RunContext
from mimo_vl.training.step_modules import PreferenceStep
from mimo_vl.training.tokenizer_files import copy_tokenizer
from mimo_vl.training.world import barrier, gather_objects, sum_over_ranks
from mimo_vl.vocabulary import StageName

# Weights of the report's text model come from the base language model, of the multimodal one from the SFT model.
TRUNK_OF = {
    StageName.REWARD_MODEL_TEXT: StageName.BASE,
    StageName.REWARD_MODEL_MULTIMODAL: StageName.LONG_CONTEXT_SFT,
}


def run_reward_model(context: RunContext) -> dict[str, float]:
    """Train the stage; write the artifact on rank 0. Returns the metrics of the manifest."""
    config = context.config.reward_models[context.stage]
    set_threads(config.parallelism)
    folder = context.input_dir(TRUNK_OF[context.stage]) / "model"
    encoder = SampleEncoder(load_tokenizer(folder), context.config.processing)
    pairs_dir = context.input_dir(StageName.CURATE_RL)
    train = read_pairs(pairs_dir, config.kind, "train")
    heldout = read_pairs(pairs_dir, config.kind, "heldout")
    module = build_module(folder, config, dtype=context.world.dtype)
    recipe = pair_recipe(config, num_pairs=len(train.pairs))
    built = build_engine(module, parameter_groups(module.model, config), recipe, context)
    source = PairSource(
        train,
        encoder,
        seed=context.config.seed,
        pairs_per_step=recipe.units_per_step,
        pairs_per_micro_batch=recipe.units_per_micro_batch,
        world=context.world,
    )
    first = built.resume.values["kept"] if built.resume else evaluate(built.engine, heldout, encoder, recipe, context)
    history, throughput = run_loop(
        built,
        source,
        recipe,
        context,
        flops=reward_flops(context.config.model, vocab_size=encoder.tokenizer.vocab_size),
        kept_values=lambda _: first,
    )
    last = evaluate(built.engine, heldout, encoder, recipe, context)
    values = {
        "loss_first": first["loss"],
        "loss_last": last.pop("loss"),
        **last,
        "train_pairs": float(len(train.pairs)),
        "tokens": float(history.num_tokens),
        "steps": float(recipe.num_steps),
    }
    with built.engine.gathered():
        if context.world.is_main:
            save_reward_model(module.model, context.out_dir / "model", kind=config.kind)
            copy_tokenizer(folder, context.out_dir / "model")
            write_metrics(context.out_dir, {**values, "history": history.steps})
    barrier(context.world)
    return {**values, **throughput.rates()}


def build_module(folder: Path, config: RewardModelConfig, *, dtype: torch.dtype) -> PreferenceStep:
    """A fresh head on the trunk in `folder`, whose towers recompute their activations as the configuration says."""
    trunk = load_model(folder, dtype=dtype)
    parallelism = config.parallelism
    enable_checkpointing(trunk, vision=parallelism.checkpoint_vision, language=parallelism.checkpoint_language)
    return PreferenceStep(RewardModel(trunk), center_penalty=config.center_penalty)


def reward_flops(model: ModelConfig, *, vocab_size: int) -> FlopCount:
    """The whole trunk trains; its language head is never met."""
    return count_flops(model, trainable=tuple(Component), has_language_head=False, vocab_size=vocab_size)


def pair_recipe(config: RewardModelConfig, *, num_pairs: int) -> Recipe:
    """Whole epochs over the pairs; a micro-batch is what one rank takes of a step, divided by the accumulation."""
    parallelism = config.parallelism
    return Recipe(
        num_steps=max(1, math.ceil(config.num_epochs * num_pairs / config.batch_pairs)),
        units_per_step=config.batch_pairs,
        units_per_micro_batch=config.batch_pairs // (parallelism.num_ranks * parallelism.accumulation_steps),
        optimizer=config.optimizer,
        schedule=config.schedule,
        parallelism=parallelism,
        checkpoint=config.checkpoint,
        log_every_steps=1,
    )


def parameter_groups(model: RewardModel, config: RewardModelConfig) -> list[dict[str, object]]:
    """Trunk matrices with weight decay, trunk norms and biases without, head at its own rate."""
    trunk = [p for p in model.trunk.parameters() if p.requires_grad]
    decay = config.optimizer.weight_decay
    groups = [
        {"name": "trunk", "params": [p for p in trunk if p.dim() >= 2], "lr": config.lr, "weight_decay": decay},
        {"name": "trunk-no-decay", "params": [p for p in trunk if p.dim() < 2], "lr": config.lr, "weight_decay": 0.0},
        {"name": "head", "params": list(model.head.parameters()), "lr": config.head_lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


@torch.no_grad()
def evaluate(
    engine: TrainingEngine, pairs: PairSet, encoder: SampleEncoder, recipe: Recipe, context: RunContext
) -> dict[str, float]:
    """Mean loss, and the pairwise accuracies with their 95 % intervals; a tie counts as wrong half of the time."""
    world, size = context.world, recipe.units_per_micro_batch
    batches = [list(range(i, min(i + size, len(pairs.pairs)))) for i in range(0, len(pairs.pairs), size)]
    rounds = -(-len(batches) // world.size)
    engine.module.eval()
    loss, right = 0.0, dict[int, float]()
    for index in range(rounds):
        position = index * world.size + world.rank
        # Every rank runs every round: sharded weights are gathered in step. Extra rounds do not count.
        indices = batches[position % len(batches)]
        batch = pair_micro_batch(pairs, indices, encoder)
        loss_sum, right_K = engine(batch.payload, 1.0)
        if position < len(batches):
            loss += float(loss_sum)
            right |= dict(zip(indices, right_K.tolist(), strict=True))
    engine.module.train()
    (loss,) = sum_over_ranks([loss], world)
    for part in gather_objects(right, world):
        right |= part
    return {"loss": loss / len(pairs.pairs), **pair_accuracy(pairs.pairs, right)}
