"""One policy update: gradients over a rollout batch, clipped step, and how far trainer and engine differ.

Runs in every trainer worker; sharding and optimizer state are the training engine's. The loss of a row is already
normalised by complete groups (policy_batch.py), so rows and ranks simply add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from mimo_vl.config.rl import RlConfig
from mimo_vl.config.training import Component
from mimo_vl.errors import WeightVersionError
from mimo_vl.model.freeze import apply_freeze_plan, parameter_groups
from mimo_vl.model.supervised import token_logprobs
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration
from mimo_vl.rl.losses.registry import build_policy_loss
from mimo_vl.rl.losses.tokens import PolicyLoss
from mimo_vl.rl.policy_batch import EncodeAnswer, PolicyRow, policy_rows, policy_samples, split_evenly
from mimo_vl.rl.update_metrics import UpdateMetrics
from mimo_vl.rl.weight_sync import WeightUpdate, weight_update
from mimo_vl.rl.weight_version import require_version
from mimo_vl.schema.rollout import ScoredGroup
from mimo_vl.training.engine import EngineConfig, TrainingEngine
from mimo_vl.training.non_finite import non_finite_error
from mimo_vl.training.optimizer import build_adamw
from mimo_vl.training.world import World, gather_objects, gather_strings, sum_over_ranks


class PolicyStepModule(torch.nn.Module):
    """What the training engine wraps: a packed row in, loss and log-probs out."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, loss: PolicyLoss, temperature: float) -> None:
        super().__init__()
        self.model = model
        self._loss = loss
        self._temperature = temperature

    def forward(self, row: PolicyRow, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        """(scale * loss, detached logp_N)."""
        logp_N = token_logprobs(self.model, row.rows, temperature=self._temperature)
        return self._loss(row.answer_tokens(logp_N)) * scale, logp_N.detach()


class PolicyTrainer:
    """The policy, its optimizer and its version on this rank."""

    def __init__(
        self, model: Qwen2_5_VLForConditionalGeneration, config: RlConfig, *, encode: EncodeAnswer, world: World
    ) -> None:
        trainable = set(Component) if config.train_vision else {Component.LANGUAGE, Component.PROJECTOR}
        apply_freeze_plan(model, trainable)
        settings = config.optimizer
        groups = parameter_groups(model, dict.fromkeys(Component, config.lr), weight_decay=settings.weight_decay)
        adamw = build_adamw(groups, settings, device=world.device)
        # No dropout exists in the model; training mode only switches activation checkpointing on.
        module = PolicyStepModule(model, build_policy_loss(config), config.temperature).train()
        self._engine = TrainingEngine(
            module,
            adamw,
            EngineConfig(
                zero_stage=config.zero_stage,
                num_micro_batches=config.num_micro_batches,
                max_grad_norm=settings.max_grad_norm,
                is_bf16=world.is_gpu,
            ),
        )
        self._config = config
        self._encode = encode
        self._world = world
        self._version = 0

    @property
    def version(self) -> int:
        """Rollout batches trained so far."""
        return self._version

    def update(self, groups: Sequence[ScoredGroup], *, step: int) -> UpdateMetrics:
        """Train on the batch of `step` and move on to version `step + 1`.

        Raises:
            WeightVersionError: the batch belongs to another step, or was sampled from other weights.
            NonFiniteLossError: on every rank, before the weights change, naming the step and the prompts.
        """
        if step != self._version:
            raise WeightVersionError(f"batch of step {step} for a policy of version {self._version}; train each once")
        require_version([c for group in groups for c in group.completions], self._version)
        if not groups:
            # No group taught anything: the weights stay, the step counts.
            self._version += 1
            return UpdateMetrics()
        self._engine.set_lr_factor(min(1.0, (step + 1) / max(1, self._config.warmup_steps)))
        chunks = split_evenly([1] * len(groups), self._config.updates_per_rollout)
        parts = [self._step([groups[i] for i in chunk], step) for chunk in chunks if chunk]
        self._version += 1
        num_tokens = sum(p.num_answer_tokens for p in parts)
        return UpdateMetrics(
            loss=sum(p.loss for p in parts) / len(parts),
            grad_norm=parts[-1].grad_norm,
            mismatch_mean=parts[0].mismatch_mean,
            mismatch_max=parts[0].mismatch_max,
            num_answer_tokens=num_tokens,
        )

    def weights(self) -> WeightUpdate | None:
        """The current policy, on rank 0 alone; every rank must call it."""
        with self._engine.gathered() as module:
            assert isinstance(module, PolicyStepModule)
            return weight_update(module.model, self._version) if self._world.is_main else None

    def save(self, directory: Path) -> None:
        self._engine.save(directory)

    def load(self, directory: Path, *, version: int) -> None:
        """Restore what `save` wrote after `version` steps; the caller has verified the files."""
        self._engine.load(directory)
        self._version = version

    def _step(self, groups: Sequence[ScoredGroup], step: int) -> UpdateMetrics:
        """One optimizer step over these groups."""
        config, world = self._config, self._world
        samples = policy_samples(groups, self._encode, config.token_normalisation)
        all_rows = policy_rows(samples, config.num_micro_batches * world.size, world.device)
        rows = all_rows[world.rank :: world.size]
        losses, gap_sum, gap_max = 0.0, 0.0, 0.0
        bad_sample_ids: list[str] = []
        for index, row in enumerate(rows):
            # Data-parallel engines average over ranks; times R makes it the sum.
            loss, logp_N = self._engine(row, float(world.size))
            self._engine.backward(loss)
            row_loss = float(loss.detach()) / world.size
            if not math.isfinite(row_loss):
                bad_sample_ids.extend(row.sample_ids)
            losses += row_loss
            gap_N = (logp_N - row.rollout_logp_N).abs() * (row.weight_N > 0)
            gap_sum, gap_max = gap_sum + float(gap_N.sum()), max(gap_max, float(gap_N.max()))
            if index + 1 < len(rows):
                self._engine.micro_step()
        loss_total, gap_total = sum_over_ranks([losses, gap_sum], world)
        self._require_finite("loss", loss_total, step, bad_sample_ids)
        self._engine.micro_step()
        grad_norm = self._engine.grad_norm()
        self._require_finite("gradient norm", grad_norm, step, [name for row in rows for name in row.sample_ids])
        num_tokens = sum(len(s.rollout_logprobs) for s in samples)
        return UpdateMetrics(
            loss=loss_total,
            grad_norm=grad_norm,
            mismatch_mean=gap_total / num_tokens,
            mismatch_max=max(gather_objects(gap_max, world)),
            num_answer_tokens=num_tokens,
        )

    def _require_finite(self, what: str, value: float, step: int, sample_ids: Sequence[str]) -> None:
        """`value` is the same on every rank, `sample_ids` this rank's answers that may have made it non-finite."""
        if not math.isfinite(value):
            named = dict.fromkeys(gather_strings(sample_ids, self._world))
            raise non_finite_error(f"policy's {what}", step, list(named), kind="prompts")
