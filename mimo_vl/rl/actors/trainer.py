"""The Ray Train worker that trains the policy on command, and all workers together as the driver's TrainerLink."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from mimo_vl.errors import MimoError, RetryableError
from mimo_vl.importing import uncollected
from mimo_vl.rl.actors.cluster import Group, get_within, placement
from mimo_vl.rl.actors.exchange import Command, Exchange, Reply
from mimo_vl.rl.actors.rollout import RayEngines
from mimo_vl.rl.update_metrics import UpdateMetrics
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.manifest import FileEntry
from mimo_vl.schema.rollout import ScoredGroup

if TYPE_CHECKING:
    from ray.train import ScalingConfig

    from mimo_vl.rl.checkpoint import ResumePoint
    from mimo_vl.rl.trainer_worker import TrainerWorker

# How long one wait on the mailbox lasts before the other side's health is looked at.
_POLL_S = 5.0


def train_loop(settings: dict[str, Any]) -> None:
    """Runs in every Ray Train worker: build, then obey commands until `stop`. Every rank answers each.

    Our own errors travel as replies, since the driver turns them into its exit code; others end the worker group. The
    other ranks may wait in a collective for the one that failed: the driver ends them all.
    """
    from ray import train

    rank = train.get_context().get_world_rank()
    exchange = settings["exchange"]
    worker, failure = _build(settings)
    for number in itertools.count(1):
        command = None
        while command is None:
            command = ray.get(exchange.command.remote(number, _POLL_S))
        reply = Reply(error=failure) if worker is None else _reply(worker, command)
        ray.get(exchange.answer.remote(number, rank, reply))
        if command.kind == "stop" or reply.error is not None:
            return


def _build(settings: dict[str, Any]) -> tuple[TrainerWorker | None, Exception | None]:
    from ray import train

    from mimo_vl.model.device import require_device
    from mimo_vl.rl.trainer_worker import build_trainer_worker
    from mimo_vl.training.world import current_world

    context = train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    try:
        require_device(has_gpu=settings["has_gpu"])
        world = current_world(rank, size, context.get_local_rank(), context.get_local_world_size())
        return build_trainer_worker(settings["worker"], settings["resume"], world), None
    except MimoError as error:
        return None, error


def _reply(worker: TrainerWorker, command: Command) -> Reply:
    try:
        return Reply(value=_obey(worker, command))
    except MimoError as error:
        return Reply(error=error)


def _obey(worker: TrainerWorker, command: Command) -> object:
    if command.kind == "update":
        return worker.update(command.groups, command.step)
    if command.kind == "weights":
        update = worker.weights()
        # In a list, the reference itself arrives instead of the bytes behind it.
        return None if update is None else (update.version, [ray.put(update)])
    if command.kind == "save":
        return worker.save(command.step)
    return worker.export() if command.kind == "export" else None


def _fit(loop_settings: dict[str, Any], settings: WorkerSettings, num_gpus: float) -> None:
    """Run Ray Train until the workers end. It blocks and loads torch, so it is a task with a process of its own."""
    with uncollected():
        from ray.train import FailureConfig, RunConfig
        from ray.train.torch import TorchConfig, TorchTrainer

    trainer = TorchTrainer(
        train_loop,
        train_loop_config=loop_settings,
        torch_config=TorchConfig(backend="nccl" if num_gpus else "gloo"),
        scaling_config=trainer_scaling(settings.rl.num_trainer_workers, num_gpus),
        run_config=RunConfig(
            name="morl",
            # Of the head alone: workers report nothing to Ray Train.
            storage_path=str(settings.scratch()),
            # A crashed worker ends the attempt; the next attempt resumes all processes from the checkpoint.
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    trainer.fit()


def trainer_scaling(num_workers: int, num_gpus: float) -> ScalingConfig:
    """So many workers on nodes of the trainer group, with so many GPUs each."""
    from ray.train import ScalingConfig

    place = placement(Group.TRAINER)
    gpus = {"GPU": num_gpus} if num_gpus else {}
    return ScalingConfig(
        num_workers=num_workers,
        use_gpu=num_gpus > 0,
        resources_per_worker={"CPU": place["num_cpus"], **gpus, **place["resources"]},
        # One worker per node while there are nodes; with a GPU each, GPUs decide.
        placement_strategy="SPREAD",
    )


class RayTrainerLink:
    """Talks to the workers by mailbox; notices when Ray Train has ended instead of answering."""

    def __init__(
        self,
        settings: WorkerSettings,
        engines: RayEngines,
        *,
        resume: ResumePoint | None,
        timeout_s: float,
        num_gpus: float,
    ) -> None:
        """`num_gpus`: of each worker, 0 = on the CPU."""
        self._engines = engines
        self._timeout_s = timeout_s
        here = placement(Group.HEAD)
        self._exchange = ray.remote(**here)(Exchange).remote(settings.rl.num_trainer_workers)
        loop_settings = {"exchange": self._exchange, "worker": settings, "resume": resume, "has_gpu": num_gpus > 0}
        self._fit = ray.remote(**here, max_retries=0)(_fit).remote(loop_settings, settings, num_gpus)

    def update(self, step: int, groups: tuple[ScoredGroup, ...]) -> UpdateMetrics:
        metrics = self._call(Command(kind="update", step=step, groups=groups))
        assert isinstance(metrics, UpdateMetrics)
        return metrics

    def push_weights(self) -> int:
        version, (reference,) = self._call(Command(kind="weights"))
        versions = self._engines.load_weights(reference)
        assert versions == [version] * len(versions)
        return int(version)

    def save(self, step: int) -> tuple[FileEntry, ...]:
        files: tuple[FileEntry, ...] = self._call(Command(kind="save", step=step))
        return files

    def export(self) -> tuple[FileEntry, ...]:
        """Write the policy as a Hugging Face folder with its tokenizer files; returns the files, by path in output."""
        files: tuple[FileEntry, ...] = self._call(Command(kind="export"))
        return files

    def stop(self) -> None:
        """End the workers and wait for them."""
        self._call(Command(kind="stop"))
        get_within(self._fit, self._timeout_s, "end of the trainer workers")

    def _call(self, command: Command) -> Any:
        number = get_within(self._exchange.send.remote(command), self._timeout_s, "trainer mailbox")
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            reply = get_within(self._exchange.reply.remote(number, _POLL_S), self._timeout_s, "trainer mailbox")
            if reply is not None:
                if reply.error is not None:
                    raise reply.error
                return reply.value
            self._require_alive(command)
        raise RetryableError(f"`{command.kind}`: no answer of the trainer within {self._timeout_s:.0f} s")

    def _require_alive(self, command: Command) -> None:
        ended, _ = ray.wait([self._fit], timeout=0)
        if not ended:
            return
        try:
            ray.get(self._fit)
        except RayError as error:
            raise RetryableError(f"the trainer workers failed during `{command.kind}`: {error}") from error
        raise RetryableError(f"the trainer workers ended before they answered `{command.kind}`")
