"""One trainer process: the policy trainer with its prompts, which puts what it saves and exports into the store."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from mimo_vl.config.rl import RlConfig
from mimo_vl.model.checkpoint import load_model, save_model
from mimo_vl.model.freeze import enable_checkpointing
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.rl.checkpoint import EXPORT_DIR, POLICY_DIR, ResumePoint, policy_dir
from mimo_vl.rl.policy_trainer import PolicyTrainer
from mimo_vl.rl.update_metrics import UpdateMetrics
from mimo_vl.rl.weight_sync import WeightUpdate, weight_state
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.manifest import FileEntry
from mimo_vl.schema.rollout import ScoredGroup
from mimo_vl.storage.attempt_files import AttemptFiles
from mimo_vl.storage.checkpoints import verify_checkpoint
from mimo_vl.storage.layout import CHECKPOINTS_DIR, OUTPUT_DIR, step_dir
from mimo_vl.storage.upload import join_entries, placed_under
from mimo_vl.training.engine import start_distributed
from mimo_vl.training.world import World, gather_objects


class TrainerWorker:
    def __init__(
        self, trainer: PolicyTrainer, encoder: SampleEncoder, files: AttemptFiles, start_dir: Path, *, world: World
    ) -> None:
        """`start_dir`: the model that training started from."""
        self._trainer = trainer
        self._encoder = encoder
        self._files = files
        self._start_dir = start_dir
        self._world = world

    def update(self, groups: Sequence[ScoredGroup], step: int) -> UpdateMetrics:
        return self._trainer.update(groups, step=step)

    def weights(self) -> WeightUpdate | None:
        """On rank 0; every rank calls it."""
        return self._trainer.weights()

    def save(self, step: int) -> tuple[FileEntry, ...]:
        """Write the policy's part of the checkpoint; every rank calls it. Returns all ranks' files, by path in it."""
        world, parts = self._world, (CHECKPOINTS_DIR, step_dir(step), POLICY_DIR)
        folder = self._files.folder(*parts)
        self._trainer.save(folder)
        is_shared = self._files.is_in_place
        share = (world.rank, world.size) if is_shared else (world.local_rank, world.local_size)
        shares = gather_objects(self._files.upload(*parts, rank=share[0], size=share[1]), world)
        if world.is_first_of_node and not is_shared:
            shutil.rmtree(folder)
        return placed_under(POLICY_DIR, join_entries(shares))

    def export(self) -> tuple[FileEntry, ...]:
        """Write the Hugging Face folder (rank 0; every rank takes part in gathering the weights); its files."""
        update = self._trainer.weights()
        if update is None:
            return ()
        directory = self._files.folder(OUTPUT_DIR, EXPORT_DIR)
        # A fresh copy of the start model has its configuration and its tied weights; then the trained values.
        model = load_model(self._start_dir)
        model.load_state_dict(weight_state(update))
        save_model(model, directory)
        self._encoder.tokenizer.save(directory)
        return placed_under(EXPORT_DIR, self._files.upload(OUTPUT_DIR, EXPORT_DIR))


def load_policy(folder: Path, config: RlConfig, world: World) -> Qwen2_5_VLForConditionalGeneration:
    """The model to train, on this rank's device; towers recompute their activations as `config` says."""
    model = load_model(folder, dtype=world.dtype).to(world.device)
    enable_checkpointing(model, vision=config.checkpoint_vision, language=config.checkpoint_language)
    return model


def build_trainer_worker(settings: WorkerSettings, resume: ResumePoint | None, world: World) -> TrainerWorker:
    if not world.is_gpu:
        torch.set_num_threads(settings.trainer_threads)
    start_distributed(world)
    start_dir = settings.policy_dir()
    encoder = settings.build_encoder()
    prompts = settings.build_prompts(encoder)
    trainer = PolicyTrainer(
        load_policy(start_dir, settings.rl, world), settings.rl, encode=prompts.encoded_answer, world=world
    )
    if resume is not None:
        checkpoint = settings.files.checkpoint(resume.uri)
        verify_checkpoint(checkpoint)
        trainer.load(policy_dir(checkpoint), version=resume.version)
    return TrainerWorker(trainer, encoder, settings.files, start_dir, world=world)
