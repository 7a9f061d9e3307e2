"""How does this process get a Ray cluster, and how does each actor land on the group of nodes that is meant for it?

A cluster that is already there is joined; otherwise a small one is started on loopback, whose one node declares the
custom resources of all groups, so that actors ask for the same in both.
RAY_AUTH_MODE must be set before ray is imported (jobs/runtime.py): unset, Ray writes a token into the user's home.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import GetTimeoutError

from mimo_vl.config.rl import RlConfig
from mimo_vl.errors import ConfigError, RetryableError
from mimo_vl.training.settings import accelerator

# Logical: processes of a local run share the cores, and a worker pod may have one core, so each asks for a fraction.
_LOCAL_CPUS = 8
ACTOR_CPUS = 0.1
# A mark says where an actor may run, not how many fit there; that is for CPUs, GPUs and the spread over nodes.
_MARK = 0.001
_POLL_S = 1.0
_FOLDER_PREFIX = "mray"


class Group(StrEnum):
    """Groups of nodes, by the custom resource that each node of the group declares."""

    HEAD = "head"
    TRAINER = "trainer"
    ROLLOUT = "rollout"
    REWARD = "reward"


def placement(group: Group, num_gpus: float = 0.0) -> dict[str, Any]:
    """Options of an actor, task or replica that runs on this group. The head of a cluster offers no CPU."""
    options = {"num_cpus": 0 if group is Group.HEAD else ACTOR_CPUS, "resources": {str(group): _MARK}}
    # Ray hides the GPUs of a node from processes that ask for none.
    return {**options, "num_gpus": num_gpus} if num_gpus else options


def gpu_shares(nodes: Sequence[Mapping[str, float]], num_actors: Mapping[Group, int]) -> dict[Group, float]:
    """GPUs that one actor of each group asks for, from the resources of the nodes; all nodes of a group are alike.

    A rollout or trainer worker on nodes of its group has a GPU of its own: it waits for a pod that has one free. Actors
    of the reward group share those of their pod, and on one machine all actors share its GPUs.

    Raises:
        ConfigError: trainer workers would share a GPU, which NCCL refuses.
    """
    shares = {}
    for group in num_actors:
        node = next((n for n in nodes if n.get(str(group), 0) >= _MARK), {})
        num_gpus = int(node.get("GPU", 0))
        here = [g for g in num_actors if node.get(str(g), 0) >= _MARK]
        sharers = sum(num_actors[g] for g in here) if len(here) > 1 or group is Group.REWARD else 1
        shares[group] = 1.0 / -(-sharers // num_gpus) if num_gpus and sharers else 0.0
    num_trainers = num_actors.get(Group.TRAINER, 0)
    if num_trainers > 1 and 0 < shares[Group.TRAINER] < 1:
        raise ConfigError(
            f"rl.num_trainer_workers: got {num_trainers}, wanted 1 where all processes share the GPUs of one machine, "
            "since each trainer worker needs a GPU of its own; or train on a cluster"
        )
    return shares


def live_nodes() -> list[Mapping[str, float]]:
    """Resources of each node of the cluster that this process has joined."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextlib.contextmanager
def ray_cluster(address: str, config: RlConfig) -> Iterator[None]:
    """Join the cluster at `address` ("auto" = RAY_ADDRESS), or start Ray here if it is empty; leave it at the end.

    Raises:
        RetryableError: a group of the cluster has no node within rl.call_timeout_s.
    """
    handler = signal.getsignal(signal.SIGTERM)
    with _joined(address) if address else _started(config):
        # ray.init() makes SIGTERM end the process; ours saves first.
        signal.signal(signal.SIGTERM, handler)
        _require_groups(config.call_timeout_s)
        yield


@contextlib.contextmanager
def _joined(address: str) -> Iterator[None]:
    try:
        # Logs of other nodes vanish with their pods: what workers print appears here.
        ray.init(address=address, log_to_driver=True, logging_level="warning", configure_logging=False)
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _started(config: RlConfig) -> Iterator[None]:
    """The folder of sockets must have a short path: the system limits socket paths to 107 bytes."""
    remove_stale_folders(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-"))
    try:
        ray.init(
            num_cpus=_LOCAL_CPUS,
            # None: as many as there are.
            num_gpus=0 if accelerator() == "cpu" else None,
            resources=dict.fromkeys(map(str, Group), 1),
            include_dashboard=False,
            object_store_memory=config.object_store_bytes,
            _temp_dir=str(folder),
            _node_ip_address="127.0.0.1",
            # Ray's own processes warn about the dashboard that is not there; our actors' errors arrive as exceptions.
            log_to_driver=False,
            logging_level="warning",
            configure_logging=False,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale_folders(parent: Path) -> None:
    """Remove what killed processes of this user left: folders whose name holds the pid of no living process."""
    for folder in parent.glob(f"{_FOLDER_PREFIX}*-*"):
        match = re.fullmatch(rf"{_FOLDER_PREFIX}(\d+)-.*", folder.name)
        if match and folder.stat().st_uid == os.getuid() and not psutil.pid_exists(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _require_groups(timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while missing := missing_groups(ray.cluster_resources()):
        if time.monotonic() > deadline_s:
            raise RetryableError(
                f"Ray cluster: no node of group {', '.join(missing)} within {timeout_s:.0f} s; its worker pods must "
                "run and declare a custom resource of that name"
            )
        time.sleep(_POLL_S)


def missing_groups(resources: Mapping[str, float]) -> list[str]:
    return [str(group) for group in Group if resources.get(str(group), 0) < _MARK]


def get_within(refs: Any, timeout_s: float, what: str) -> Any:
    """Wait for actor calls.

    Raises:
        RetryableError: no answer within the deadline.
    """
    try:
        return ray.get(refs, timeout=timeout_s)
    except GetTimeoutError as error:
        raise RetryableError(
            f"{what}: no answer within rl.call_timeout_s = {timeout_s:.0f} s; a process hangs or is too slow"
        ) from error
