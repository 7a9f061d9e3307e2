"""How does this process get a Ray cluster? A local one of its own, small and on loopback, or the one it runs in.

RAY_AUTH_MODE must be set before ray is imported (jobs/runtime.py): unset, Ray writes a token into the user's home.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError

from mimo_vl.config.rl import RlConfig
from mimo_vl.errors import RetryableError

# Logical: processes of a local run share the cores, so each actor asks for a fraction.
_LOGICAL_CPUS = 8
ACTOR_CPUS = 0.1


@contextlib.contextmanager
def local_cluster(config: RlConfig) -> Iterator[None]:
    """Start Ray here and stop it at the end, whatever happens.

    The folder of sockets must have a short path: the system limits socket paths to 107 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="mray"))
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            num_cpus=_LOGICAL_CPUS,
            include_dashboard=False,
            object_store_memory=config.object_store_bytes,
            _temp_dir=str(folder),
            _node_ip_address="127.0.0.1",
            # Ray's own processes warn about the dashboard that is not there; our actors' errors arrive as exceptions.
            log_to_driver=False,
            logging_level="warning",
            configure_logging=False,
        )
        # ray.init() makes SIGTERM end the process; ours saves first.
        signal.signal(signal.SIGTERM, handler)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


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
