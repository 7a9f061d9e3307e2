"""What steps of Kubeflow Pipelines read of their environment, and get as theirs on one machine."""

from __future__ import annotations

import os
from pathlib import Path

# Where Kubeflow mounts it in pods that ask for access to the API.
_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"


def kubeflow_token_file() -> Path | None:
    """Token for the API of Kubeflow Pipelines, where the pod has one."""
    path = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH") or _TOKEN)
    return path if path.is_file() else None


def local_step_environment(root: Path) -> dict[str, str]:
    """For steps that run on this machine: they import the same sources."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PYTHONHOME"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}
