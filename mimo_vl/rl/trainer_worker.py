"""One trainer process: the policy trainer with its prompts, exporting what it trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mimo_vl.model.checkpoint import load_model, save_model
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.rl.policy_trainer import PolicyTrainer
from mimo_vl.rl.update_metrics import UpdateMetrics
from mimo_vl.rl.weight_sync import WeightUpdate, weight_state
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.rollout import ScoredGroup
from mimo_vl.training.engine import start_distributed
from mimo_vl.training.world import current_world


class TrainerWorker:
    def __init__(self, trainer: PolicyTrainer, encoder: SampleEncoder, policy_dir: Path, *, is_main: bool) -> None:
        self._trainer = trainer
        self._encoder = encoder
        self._policy_dir = policy_dir
        self._is_main = is_main

    def update(self, groups: Sequence[ScoredGroup], step: int) -> UpdateMetrics:
        return self._trainer.update(groups, step=step)

    def weights(self) -> WeightUpdate:
        return self._trainer.weights()

    def save(self, directory: Path) -> None:
        self._trainer.save(directory)

    def export(self, directory: Path) -> None:
        """Write the Hugging Face folder (rank 0; every rank takes part in gathering the weights)."""
        state = weight_state(self._trainer.weights())
        if self._is_main:
            # A fresh copy of the start model has its configuration and its tied weights; then the trained values.
            model = load_model(self._policy_dir)
            model.load_state_dict(state)
            save_model(model, directory)
            self._encoder.tokenizer.save(directory)


def build_trainer_worker(
    settings: WorkerSettings, resume: tuple[Path, int] | None, rank: int, size: int, local_rank: int
) -> TrainerWorker:
    """`resume`: folder of a verified checkpoint, and the number of steps it holds."""
    world = current_world(rank, size, local_rank)
    if not world.is_gpu:
        torch.set_num_threads(settings.trainer_threads)
    start_distributed(world)
    encoder = settings.build_encoder()
    prompts = settings.build_prompts(encoder)
    model = load_model(settings.policy_dir, dtype=world.dtype).to(world.device)
    trainer = PolicyTrainer(model, settings.rl, encode=prompts.encoded_answer, world=world)
    if resume is not None:
        directory, version = resume
        trainer.load(directory, version=version)
    return TrainerWorker(trainer, encoder, settings.policy_dir, is_main=world.is_main)
