"""The pods of a Ray cluster: head, worker groups and the submitter, with what Ray itself must be told.

The head's container runs the driver, which inherits its environment. How the pods end: ray_hooks.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mimo_vl.errors import ConfigError
from mimo_vl.schema.ray_environment import RAY_ENVIRONMENT
from operators.mimo_pipeline.api import PodSettings
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.container import base_env, build_container, named_values, stage_env
from operators.mimo_pipeline.builders.pod import never_restarted, pod_template
from operators.mimo_pipeline.builders.pod_settings import PodKind, launcher_grace_s, settings_of
from operators.mimo_pipeline.builders.quantity import amount
from operators.mimo_pipeline.builders.ray_hooks import head_hook, worker_hook
from operators.mimo_pipeline.builders.volumes import TMP_DIR, base_volumes, stage_volumes
from operators.mimo_pipeline.plan import Create

_RAY_CONTAINER = "ray"
_SUBMITTER_CONTAINER = "ray-job-submitter"
_DRIVER_PID_FILE = f"{TMP_DIR}/mimo/driver.pid"

_DEFAULT_SHM_SIZE = "256Mi"
# Of /dev/shm; the rest is for NCCL and for data loaders. Ray leaves /dev/shm if its store does not fit.
_OBJECT_STORE_SHARE = 0.75
# Ray refuses less than 75 MiB.
_MIN_OBJECT_STORE_BYTES = 80_000_000

# The driver's launcher outlives its rank by the time to leave an exit record.
_DRIVER_EXIT_S = 5

# The submitter only follows the driver's log.
_SUBMITTER = PodSettings(
    requests={"cpu": "50m", "memory": "128Mi"},
    limits={"cpu": "1", "memory": "512Mi"},
    termination_grace_period_seconds=15,
)

_RAY_ENV: Mapping[str, str] = {
    **RAY_ENVIRONMENT,
    "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
    # Heads start slowly on busy nodes; a node that did not find its head would end, and its pod be made anew.
    "RAY_gcs_server_port_wait_time_s": "120",
    # The hooks wait for the driver; nothing is left that a node could hand over to another.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
}


def ray_settings(kind: PodKind, own: PodSettings, facts: ClusterFacts, where: str) -> PodSettings:
    """Merged, checked, with a size for /dev/shm: else KubeRay makes it as large as the whole memory limit.

    Raises:
        ConfigError: contradictions, or /dev/shm too small for the object store.
    """
    settings = settings_of(kind, own, facts.settings.pods, where, PodSettings(shm_size=_DEFAULT_SHM_SIZE))
    if object_store_bytes(settings) < _MIN_OBJECT_STORE_BYTES:
        raise ConfigError(
            f"{where}.shmSize: got {settings.shm_size}, wanted at least 128Mi: three quarters of it are Ray's object "
            f"store, which has at least {_MIN_OBJECT_STORE_BYTES} bytes"
        )
    return settings


def object_store_bytes(settings: PodSettings) -> int:
    return int(float(amount(settings.shm_size or _DEFAULT_SHM_SIZE)) * _OBJECT_STORE_SHARE)


def head_template(create: Create, settings: PodSettings, facts: ClusterFacts) -> dict[str, Any]:
    grace_s = launcher_grace_s(settings)
    extra = {
        **_RAY_ENV,
        "MIMO_DRIVER_PID_FILE": _DRIVER_PID_FILE,
        # KubeRay stops the job before it deletes the pods; Ray would give the driver three seconds.
        "RAY_JOB_STOP_WAIT_TIME_S": str(grace_s + _DRIVER_EXIT_S),
    }
    return _ray_template(PodKind.RAY_HEAD, create, settings, facts, extra, head_hook(_DRIVER_PID_FILE))


def worker_template(kind: PodKind, create: Create, settings: PodSettings, facts: ClusterFacts) -> dict[str, Any]:
    return _ray_template(kind, create, settings, facts, _RAY_ENV, worker_hook())


def submitter_template(create: Create, facts: ClusterFacts) -> dict[str, Any]:
    mounted = base_volumes(facts)
    container = build_container(
        _SUBMITTER_CONTAINER,
        facts.settings.images.rollout,
        _SUBMITTER,
        env=named_values({**base_env(facts), "RAY_USAGE_STATS_ENABLED": "0"}),
        mounted=mounted,
    )
    return never_restarted(
        pod_template(PodKind.RAY_SUBMITTER, container, settings=_SUBMITTER, mounted=mounted, create=create, facts=facts)
    )


def _ray_template(
    kind: PodKind,
    create: Create,
    settings: PodSettings,
    facts: ClusterFacts,
    extra: Mapping[str, str],
    lifecycle: Mapping[str, Any],
) -> dict[str, Any]:
    mounted = stage_volumes(settings, facts)
    container = build_container(
        _RAY_CONTAINER,
        facts.settings.images.rollout,
        settings,
        env=stage_env(create, settings, facts, facts.settings.images.rollout, extra),
        mounted=mounted,
    )
    container["lifecycle"] = dict(lifecycle)
    return never_restarted(
        pod_template(kind, container, settings=settings, mounted=mounted, create=create, facts=facts)
    )
