"""A Ray cluster of the test process itself, with the environment that a stage gives it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from mimo_vl.schema.ray_environment import RAY_ENVIRONMENT


@contextlib.contextmanager
def local_ray(num_cpus: int) -> Iterator[None]:
    """`num_cpus` is what Ray shares out, not what the machine has."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**RAY_ENVIRONMENT, "RAY_AUTH_MODE": "disabled"}.items():
            patch.setenv(name, value)
        ray = pytest.importorskip("ray")
        ray.init(num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, configure_logging=False)
        try:
            yield
        finally:
            ray.shutdown()
