"""One rollout engine with the prompts it may be asked for: names in, completions out."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mimo_vl.inference.engine import Engine
from mimo_vl.inference.load import load_engine
from mimo_vl.model.device import compute_device, compute_dtype
from mimo_vl.rl.prompts import PromptLibrary
from mimo_vl.rl.weight_sync import WeightUpdate, weight_state
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.rollout import Completion, PromptRef, SamplingParams


class RolloutWorker:
    def __init__(self, engine: Engine, prompts: PromptLibrary) -> None:
        self._engine = engine
        self._prompts = prompts

    def generate(self, prompts: Sequence[PromptRef], params: SamplingParams) -> list[list[Completion]]:
        return self._engine.generate([self._prompts.encoded(p) for p in prompts], params)

    def load_weights(self, update: WeightUpdate) -> int:
        """Returns the version that is now loaded."""
        self._engine.load_weights(weight_state(update), update.version)
        return self._engine.weight_version


def build_rollout_worker(settings: WorkerSettings) -> RolloutWorker:
    torch.set_num_threads(settings.rollout_threads)
    encoder = settings.build_encoder()
    dtype = compute_dtype(compute_device())
    engine = load_engine(settings.policy_dir(), encoder, dtype=dtype, max_rows=settings.rl.answers_at_once)
    return RolloutWorker(engine, settings.build_prompts(encoder))
