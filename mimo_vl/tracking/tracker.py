"""What a stage tells the tracking server, and the tracker that forgets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class RunStatus(StrEnum):
    """MLflow's words."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class HasKey(Protocol):
    @property
    def key(self) -> str: ...


class KeyValueStore(Protocol):
    """What tracking needs of an artifact store (mimo_vl/storage/store.py has the contract)."""

    def uri(self, key: str = "") -> str: ...

    def put_bytes(self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None) -> str: ...

    def get_bytes(self, key: str) -> tuple[bytes, str]: ...

    def put_file(self, key: str, path: Path) -> None: ...

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str = "") -> Sequence[HasKey]: ...


class Tracker(Protocol):
    """No call blocks on the network or fails because the server is away."""

    @property
    def run_id(self) -> str:
        """The server's id of this attempt's run; "" as long as the server has not answered."""
        ...

    @property
    def ids(self) -> Mapping[str, str]:
        """For the manifest: run_id, parent_run_id, experiment_id, as far as known."""
        ...

    def start(self, run_name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None: ...

    def log_input(self, name: str, uri: str, digest: str) -> None:
        """An artifact that this attempt read."""
        ...

    def register_model(self, name: str, uri: str, digest: str, alias: str) -> None:
        """A version of model `name` whose bytes stay at `uri`; `alias` (sft, rl) moves to it.

        The same digest twice is one version.
        """
        ...

    def flush(self) -> None:
        """Make all that was logged so far survive a kill of this process."""
        ...

    def finish(self, status: RunStatus) -> None:
        """Wait a little for what is still to be sent; the rest stays in the journal."""
        ...


class NullTracker:
    """Forgets everything."""

    run_id = ""
    ids: Mapping[str, str] = {}

    def start(self, run_name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        pass

    def log_input(self, name: str, uri: str, digest: str) -> None:
        pass

    def register_model(self, name: str, uri: str, digest: str, alias: str) -> None:
        pass

    def flush(self) -> None:
        pass

    def finish(self, status: RunStatus) -> None:
        pass
