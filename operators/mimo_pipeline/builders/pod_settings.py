"""Which settings does a pod get: those of its kind, with the stage's own over them, checked for contradictions?"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import PodSettings
from operators.mimo_pipeline.builders.quantity import amount
from operators.mimo_pipeline.cluster_settings import PodDefaults

DEFAULT_GRACE_PERIOD_S = 90
# Between the end of the ranks and the end of the pod: the exit record, the termination log.
LAUNCHER_MARGIN_S = 10
_MIN_GRACE_PERIOD_S = LAUNCHER_MARGIN_S + 5


class PodKind(StrEnum):
    """Value of the label mimo.dev/component."""

    JOB = "job"
    PYTORCH = "pytorch"
    RAY_HEAD = "ray-head"
    RAY_TRAINER = "ray-trainer"
    RAY_ROLLOUT = "ray-rollout"
    RAY_REWARD = "ray-reward"
    RAY_SUBMITTER = "ray-submitter"


def settings_of(
    kind: PodKind, own: PodSettings, defaults: PodDefaults, where: str, fallback: PodSettings | None = None
) -> PodSettings:
    """Fallback, defaults of the kind and the stage's own, merged in this order and checked.

    Args:
        where: path of `own` in the spec, for errors.
    """
    merged = merge_settings(merge_settings(fallback or PodSettings(), _defaults_of(kind, defaults)), own)
    check_settings(merged, where)
    return merged


def merge_settings(defaults: PodSettings, own: PodSettings) -> PodSettings:
    """Maps are merged key by key; every other field is the stage's where the stage sets it."""
    merged: dict[str, Any] = {}
    for name in PodSettings.model_fields:
        base, over = getattr(defaults, name), getattr(own, name)
        if isinstance(over, dict):
            merged[name] = {**base, **over}
        else:
            merged[name] = base if over in (None, "", ()) else over
    return PodSettings(**merged)


def check_settings(settings: PodSettings, where: str) -> None:
    """Refuses what the API server or the scheduler would refuse later, or what would end in a killed pod.

    Raises:
        ConfigError: every contradiction, one line each, with the field's path under `where`.
    """
    problems = [*_resource_problems(settings), *_shm_problems(settings), *_other_problems(settings)]
    if problems:
        raise ConfigError("\n".join(f"{where}.{problem}" for problem in problems))


def grace_period_s(settings: PodSettings) -> int:
    return settings.termination_grace_period_seconds or DEFAULT_GRACE_PERIOD_S


def launcher_grace_s(settings: PodSettings) -> int:
    """What the ranks get between SIGTERM and SIGKILL; the launcher outlives them within the pod's own time."""
    return grace_period_s(settings) - LAUNCHER_MARGIN_S


def num_gpus(settings: PodSettings) -> int:
    return sum(int(amount(quantity)) for name, quantity in settings.limits.items() if is_gpu(name))


def is_gpu(resource: str) -> bool:
    return resource.rpartition("/")[2] == "gpu"


def _defaults_of(kind: PodKind, defaults: PodDefaults) -> PodSettings:
    by_kind = {
        PodKind.JOB: defaults.job,
        PodKind.PYTORCH: defaults.pytorch,
        PodKind.RAY_HEAD: defaults.ray_head,
        PodKind.RAY_TRAINER: defaults.ray_trainer,
        PodKind.RAY_ROLLOUT: defaults.ray_rollout,
        PodKind.RAY_REWARD: defaults.ray_reward,
    }
    return by_kind[kind]


def _resource_problems(settings: PodSettings) -> list[str]:
    problems = []
    for name, request in settings.requests.items():
        limit = settings.limits.get(name)
        if "/" in name:
            if limit is None or amount(request) != amount(limit):
                problems.append(
                    f"requests.{name}: got {request} with limit {limit}; devices cannot be shared, set both to the same"
                )
        elif limit is not None and amount(request) > amount(limit):
            problems.append(f"requests.{name}: got {request}, wanted at most limits.{name} = {limit}")
    return problems


def _shm_problems(settings: PodSettings) -> list[str]:
    memory = settings.limits.get("memory")
    if settings.shm_size is None or memory is None or amount(settings.shm_size) < amount(memory):
        return []
    return [
        f"shmSize: got {settings.shm_size}, wanted less than limits.memory = {memory}; "
        "what lies in /dev/shm counts as memory of the pod"
    ]


def _other_problems(settings: PodSettings) -> list[str]:
    problems = []
    if grace_period_s(settings) < _MIN_GRACE_PERIOD_S:
        problems.append(
            f"terminationGracePeriodSeconds: got {grace_period_s(settings)}, wanted at least {_MIN_GRACE_PERIOD_S}: "
            "the time to save a checkpoint and to leave an exit record"
        )
    for toleration in settings.tolerations:
        if not toleration.key and toleration.operator == "Equal":
            problems.append("tolerations: got operator Equal without a key; name the key or use operator Exists")
        if toleration.value and toleration.operator == "Exists":
            problems.append(f"tolerations: got operator Exists with value {toleration.value!r}; leave the value out")
    return problems
