"""What children inherit from the environment of `mimo run`: everything but stage facts of an outer run."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mimo_vl.schema.environment import VARIABLES


def inherited_environment() -> dict[str, str]:
    """The environment for launchers and servers.

    PYTHONDONTWRITEBYTECODE is left out: without .pyc files, importing torch and transformers costs 24 s instead of 9.
    """
    dropped = {"PYTHONDONTWRITEBYTECODE", *VARIABLES.values()}
    kept = {k: v for k, v in os.environ.items() if k not in dropped}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def server_environment() -> Mapping[str, str]:
    """For the tracking server: no telemetry, no background job workers."""
    extra = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return {**inherited_environment(), **extra}
