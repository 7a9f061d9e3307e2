"""kubectl and helm as a user has them: commands in, JSON out, and waiting with a deadline."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from kubernetes.config import new_client_from_config

from operators.mimo_pipeline.kubernetes import resources
from operators.mimo_pipeline.kubernetes.cluster import ApiError, KubernetesApi

logger = logging.getLogger(__name__)
T = TypeVar("T")
_COMMAND_TIMEOUT_S = 180.0
# What tests look at again and again: over one kept connection, since a kubectl for each look takes the CPU from what it
# looks at.
_POLLED = {
    "pods": resources.PODS,
    "jobs": resources.JOBS,
    "pytorchjobs": resources.PYTORCH_JOBS,
    "rayjobs": resources.RAY_JOBS,
    "mimopipelines": resources.PIPELINES,
    "mp": resources.PIPELINES,
    "lease": resources.LEASES,
    "configmap": resources.CONFIG_MAPS,
}


class CommandError(RuntimeError):
    """A command failed; the message holds what it printed."""


@dataclass(frozen=True)
class Cluster:
    """`bin_dir`: where kubectl and helm are, if not on PATH. `is_development`: it is the one of `make cluster`."""

    kubeconfig: Path
    bin_dir: Path | None = None
    is_development: bool = True
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def command_environ(self) -> dict[str, str]:
        """What kubectl and helm need to find each other and the cluster."""
        path = self.environ.get("PATH", "")
        path = f"{self.bin_dir}:{path}" if self.bin_dir else path
        return {**self.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def run(self, *command: str, stdin: str = "", timeout_s: float = _COMMAND_TIMEOUT_S) -> str:
        environ, began_s = self.command_environ(), time.monotonic()
        done = subprocess.run(
            command, input=stdin, env=environ, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        logger.info("%s: exit %d, %.1f s", " ".join(command)[:100], done.returncode, time.monotonic() - began_s)
        if done.returncode != 0:
            raise CommandError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str = "", timeout_s: float = _COMMAND_TIMEOUT_S) -> str:
        return self.run("kubectl", *arguments, stdin=stdin, timeout_s=timeout_s)

    def helm(self, *arguments: str, timeout_s: float = 600.0) -> str:
        return self.run("helm", *arguments, timeout_s=timeout_s)

    @cached_property
    def _api(self) -> KubernetesApi:
        return KubernetesApi(new_client_from_config(str(self.kubeconfig)))

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """None if it does not exist."""
        if kind in _POLLED:
            try:
                return self._api.get(_POLLED[kind], namespace, name)
            except ApiError as error:
                if error.is_not_found:
                    return None
                raise CommandError(str(error)) from error
        text = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def list(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """`kind`: one, or several with commas."""
        kinds = kind.split(",")
        if set(kinds) <= set(_POLLED):
            try:
                return [found for k in kinds for found in self._api.list(_POLLED[k], namespace, selector)]
            except ApiError as error:
                raise CommandError(str(error)) from error
        text = self.kubectl("get", kind, "-n", namespace, "-o", "json", *(["-l", selector] if selector else []))
        items: list[dict[str, Any]] = json.loads(text)["items"]
        return items

    def apply(self, *objects: Mapping[str, Any], namespace: str = "default") -> None:
        documents = "\n---\n".join(json.dumps(o) for o in objects)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-n", namespace, "-f", "-", stdin=documents)


def eventually(
    what: str, probe: Callable[[], T | None], *, deadline_s: float, interval_s: float = 0.5, explain: Callable[[], str]
) -> T:
    """The first value of `probe` that is true. `pytest --log-cli-level=INFO` shows where the time of a run goes.

    Raises:
        AssertionError: none within `deadline_s`; the message holds what `explain` says then.
    """
    began_s = time.monotonic()
    while time.monotonic() < began_s + deadline_s:
        found = probe()
        if found:
            logger.info("%s after %.1f s", what, time.monotonic() - began_s)
            return found
        time.sleep(interval_s)
    raise AssertionError(f"{what}: not within {deadline_s:.0f} s\n{explain()}")
