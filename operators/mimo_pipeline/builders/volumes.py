"""What is mounted into the pods of a stage, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from operators.mimo_pipeline.api import PodSettings
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.config_map import CONFIG_KEY

_CONFIG_DIR = "/etc/mimo"
_CA_DIR = "/etc/mimo-ca"
CONFIG_FILE = f"{_CONFIG_DIR}/{CONFIG_KEY}"
CA_FILE = f"{_CA_DIR}/ca.crt"
SCRATCH_DIR = "/scratch"
TMP_DIR = "/tmp"
_SHM_DIR = "/dev/shm"


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """A volume with the one place where the pod's container sees it."""

    name: str
    path: str
    source: dict[str, Any]
    read_only: bool = False


def stage_volumes(settings: PodSettings, facts: ClusterFacts) -> list[Mounted]:
    """Configuration, scratch space, shared memory and what the cluster's settings add."""
    result = [
        Mounted(name="config", path=_CONFIG_DIR, source={"configMap": {"name": facts.config_map}}, read_only=True),
        Mounted(name="scratch", path=SCRATCH_DIR, source=_empty_dir(size=settings.scratch_size)),
    ]
    if settings.shm_size is not None:
        result.append(Mounted(name="shm", path=_SHM_DIR, source=_empty_dir(medium="Memory", size=settings.shm_size)))
    if facts.store.ca_config_map:
        ca = {"configMap": {"name": facts.store.ca_config_map}}
        result.append(Mounted(name="store-ca", path=_CA_DIR, source=ca, read_only=True))
    return [*result, *base_volumes(facts)]


def base_volumes(facts: ClusterFacts) -> list[Mounted]:
    """What every pod has, the submitter too: a place for temporary files and the mounted environment."""
    result = [Mounted(name="tmp", path=TMP_DIR, source=_empty_dir())]
    environment = facts.settings.environment
    if environment is not None:
        claim = {"persistentVolumeClaim": {"claimName": environment.claim, "readOnly": True}}
        result.append(Mounted(name="environment", path=environment.path, source=claim, read_only=True))
    return result


def volumes(mounted: Sequence[Mounted]) -> list[dict[str, Any]]:
    return [{"name": m.name, **m.source} for m in mounted]


def mounts(mounted: Sequence[Mounted]) -> list[dict[str, Any]]:
    return [{"name": m.name, "mountPath": m.path, **({"readOnly": True} if m.read_only else {})} for m in mounted]


def _empty_dir(*, medium: str = "", size: str | None = None) -> dict[str, Any]:
    values = {"medium": medium, "sizeLimit": size}
    return {"emptyDir": {name: value for name, value in values.items() if value}}
