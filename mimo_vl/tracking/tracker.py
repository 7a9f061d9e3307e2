"""What a stage tells the tracking server, and the tracker that forgets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class RunStatus(StrEnum):
    """MLflow's words."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class Target(StrEnum):
    """Whose run: that of the stage attempt, or its parent, that of the pipeline."""

    ATTEMPT = "attempt"
    PIPELINE = "pipeline"


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version of a registered model. Its bytes stay at `uri`; `alias` (sft, rl, ...) moves to it.

    The same digest twice is one version.
    """

    name: str
    uri: str
    digest: str
    alias: str
    card: str = ""
    """Markdown."""
    tags: Mapping[str, str] = field(default_factory=dict)


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

    def describe_pipeline(self, config_yaml: str, tags: Mapping[str, str]) -> None:
        """The pipeline's configuration, for the parent run; every attempt says the same, it is sent once."""
        ...

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """With the number of tokens among the metrics, the server shows curves by tokens as well (token_axis.py)."""
        ...

    def log_pipeline_metrics(self, metrics: Mapping[str, float]) -> None:
        """Results of the whole pipeline, in the parent run: what the list of runs is compared by."""
        ...

    def log_input(self, name: str, uri: str, digest: str, *, profile: str = "") -> None:
        """An artifact that this attempt read; `profile` is JSON: what it holds, in numbers."""
        ...

    def set_tags(
        self, tags: Mapping[str, str], *, removed: Sequence[str] = (), target: Target = Target.ATTEMPT
    ) -> None: ...

    def log_artifact(self, path: str, data: bytes, *, is_table: bool = False, target: Target = Target.ATTEMPT) -> None:
        """A small file to look at. Model weights, checkpoints and data stay in the store."""
        ...

    def register_model(self, version: ModelVersion) -> None: ...

    def finish_pipeline(self, status: RunStatus) -> None:
        """The parent run ends."""
        ...

    def flush(self) -> None:
        """Make all that was logged so far survive a kill of this process."""
        ...

    def finish(self, status: RunStatus, *, reason: str = "", message: str = "") -> None:
        """Wait a little for what is still to be sent; the rest stays in the journal."""
        ...


class NullTracker:
    """Forgets everything."""

    run_id = ""
    ids: Mapping[str, str] = {}

    def start(self, run_name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        pass

    def describe_pipeline(self, config_yaml: str, tags: Mapping[str, str]) -> None:
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        pass

    def log_pipeline_metrics(self, metrics: Mapping[str, float]) -> None:
        pass

    def log_input(self, name: str, uri: str, digest: str, *, profile: str = "") -> None:
        pass

    def set_tags(
        self, tags: Mapping[str, str], *, removed: Sequence[str] = (), target: Target = Target.ATTEMPT
    ) -> None:
        pass

    def log_artifact(self, path: str, data: bytes, *, is_table: bool = False, target: Target = Target.ATTEMPT) -> None:
        pass

    def register_model(self, version: ModelVersion) -> None:
        pass

    def finish_pipeline(self, status: RunStatus) -> None:
        pass

    def flush(self) -> None:
        pass

    def finish(self, status: RunStatus, *, reason: str = "", message: str = "") -> None:
        pass
