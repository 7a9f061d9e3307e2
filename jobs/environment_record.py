"""With which packages and on which machine does an attempt run: `environment.json` beside its other records."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import psutil

from mimo_vl.errors import MimoError
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.layout import ENVIRONMENT, join

logger = logging.getLogger(__name__)

_PROJECT = "mimo-vl"
_GPUS = Path("/proc/driver/nvidia/gpus")


def leave_environment(store: ArtifactStore, attempt: str) -> None:
    """A store that is away costs the record, never the attempt."""
    record = {"packages": package_versions(), "hardware": hardware()}
    try:
        store.put_bytes(join(attempt, ENVIRONMENT), json.dumps(record, sort_keys=True).encode())
    except (MimoError, OSError) as error:
        logger.warning("environment not recorded: %s", error)


def package_versions() -> dict[str, str]:
    """Of Python and of every package that this project asks for and that is installed."""
    found = {"python": platform.python_version()}
    for name in sorted(set(_required())):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            # Of an extra that this image does without.
            continue
    return found


def hardware() -> dict[str, str]:
    """Of the node of rank 0, as the operating system tells it; a container's limits are in the pod."""
    cores = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores"
    found = {
        "machine": f"{platform.machine()} {_cpu_model()}".strip(),
        "cores": cores,
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
    }
    gpus = [_gpu_model(path) for path in sorted(_GPUS.glob("*/information"))]
    return found | ({"gpus": f"{len(gpus)} x {gpus[0]}"} if gpus else {})


def _required() -> Iterator[str]:
    try:
        lines = requires(_PROJECT) or []
    except PackageNotFoundError:
        return
    for line in lines:
        match = re.match(r"[A-Za-z0-9._-]+", line)
        if match:
            yield match[0].lower()


def _cpu_model() -> str:
    return _value(Path("/proc/cpuinfo"), "model name")


def _gpu_model(information: Path) -> str:
    return _value(information, "Model") or "NVIDIA GPU"


def _value(path: Path, name: str) -> str:
    """Of the first line `name : value`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
