"""Rollout workers as Ray actors, and all of them together as one RolloutEngines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ray

from mimo_vl.errors import MimoError
from mimo_vl.rl.actors.cluster import Group, get_within, placement
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.rollout import Completion, PromptRef, SamplingParams

if TYPE_CHECKING:
    from mimo_vl.rl.weight_sync import WeightUpdate


class RolloutActor:
    """Builds its worker in its own process; the driver never loads torch for it."""

    def __init__(self, settings: WorkerSettings, *, has_gpu: bool) -> None:
        """`has_gpu`: Ray has given this process a GPU, or a share of one."""
        from mimo_vl.model.device import require_device
        from mimo_vl.rl.rollout_worker import build_rollout_worker

        self._failure: MimoError | None = None
        try:
            require_device(has_gpu=has_gpu)
            self._worker = build_rollout_worker(settings)
        except MimoError as error:
            # Raised here, it would reach the driver as the death of an actor.
            self._failure = error

    def failure(self) -> MimoError | None:
        """Why the worker could not be built; answered when it has been tried."""
        return self._failure

    def generate(self, prompts: Sequence[PromptRef], params: SamplingParams) -> list[list[Completion]]:
        return self._worker.generate(prompts, params)

    def load_weights(self, update: WeightUpdate) -> int:
        return self._worker.load_weights(update)


class RayEngines:
    """Prompt i of a call goes to engine i mod n, so the composition of each engine's batches is fixed."""

    def __init__(self, settings: WorkerSettings, num_workers: int, timeout_s: float, num_gpus: float) -> None:
        """`num_gpus`: of each engine, 0 = on the CPU."""
        actor = ray.remote(**placement(Group.ROLLOUT, num_gpus), scheduling_strategy="SPREAD", max_restarts=0)(
            RolloutActor
        )
        self._actors = [actor.remote(settings, has_gpu=num_gpus > 0) for _ in range(num_workers)]
        self._timeout_s = timeout_s

    def wait_ready(self) -> None:
        """Raises what kept a worker from being built."""
        asked = [actor.failure.remote() for actor in self._actors]
        for failure in get_within(asked, self._timeout_s, "start of rollout workers"):
            if failure is not None:
                raise failure

    def generate(self, prompts: Sequence[PromptRef], params: SamplingParams) -> list[list[Completion]]:
        count = len(self._actors)
        shares = [list(prompts[i::count]) for i in range(count)]
        refs = [
            actor.generate.remote(share, params) for actor, share in zip(self._actors, shares, strict=True) if share
        ]
        answers = get_within(refs, self._timeout_s, "generation")
        groups: list[list[Completion]] = [[]] * len(prompts)
        for i, answer in enumerate(answers):
            groups[i::count] = answer
        return groups

    def load_weights(self, update_ref: Any) -> list[int]:
        """Give every engine the weights behind the reference; returns the versions they now have."""
        refs = [actor.load_weights.remote(update_ref) for actor in self._actors]
        versions: list[int] = get_within(refs, self._timeout_s, "weight push")
        return versions
