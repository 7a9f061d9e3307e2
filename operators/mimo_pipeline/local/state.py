"""The files of a run folder: the pipeline object (spec and status), who controls it, and where everything lies."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from mimo_vl.errors import ConfigError, InputError
from operators.mimo_pipeline import naming
from operators.mimo_pipeline.api import ApiModel, MimoPipelineSpec, MimoPipelineStatus


class Metadata(ApiModel):
    name: str
    namespace: str = naming.LOCAL_NAMESPACE
    uid: str
    generation: int = 1
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class PipelineObject(ApiModel):
    """The same object that a cluster keeps, in a file."""

    api_version: str = "mimo.dev/v1alpha1"
    kind: str = "MimoPipeline"
    metadata: Metadata
    spec: MimoPipelineSpec
    status: MimoPipelineStatus = Field(default_factory=MimoPipelineStatus)

    @property
    def run_id(self) -> str:
        return naming.run_id(self.metadata.namespace, self.metadata.name, self.metadata.uid)


class RunFolder:
    """`runs/<x>`: paths, and the object in pipeline.json."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.object_path = self.path / "pipeline.json"
        self.store_path = self.path / "store"
        self.controller_path = self.path / "controller.json"
        self._object_lock = FileLock(self.path / ".pipeline.lock", timeout=30)

    def config_path(self, uid: str) -> Path:
        return self.path / "state" / uid[:8] / "config.yaml"

    def memory_path(self, uid: str) -> Path:
        return self.path / "state" / uid[:8] / "memory.json"

    def children_path(self, uid: str) -> Path:
        return self.path / "state" / uid[:8] / "children"

    def log_path(self, uid: str, stage: str, attempt: int) -> Path:
        return self.path / "logs" / uid[:8] / f"{stage}-{attempt}.log"

    def load(self) -> PipelineObject:
        found = self.load_or_none()
        if found is None:
            raise InputError(f"--run-dir: no pipeline in {self.path}; start one with: mimo run --run-dir {self.path}")
        return found

    def load_or_none(self) -> PipelineObject | None:
        try:
            text = self.object_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return PipelineObject.model_validate_json(text)
        except ValidationError as error:
            raise InputError(
                f"{self.object_path}: not a pipeline of this version ({error.error_count()} fields differ); "
                "use another --run-dir, or remove it (the store beside it is kept and reused)"
            ) from error

    def create(self, pipeline: PipelineObject) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with self._object_lock:
            write_atomically(self.object_path, _dump(pipeline))

    def save_status(self, uid: str, status: MimoPipelineStatus) -> None:
        """Replace the status; the spec may have been edited meanwhile and is kept."""
        with self._object_lock:
            current = self.load()
            if current.metadata.uid == uid:
                write_atomically(self.object_path, _dump(current.model_copy(update={"status": status})))

    def edit_spec(self, change: Callable[[PipelineObject], MimoPipelineSpec]) -> PipelineObject:
        """Apply a control (suspend, retry, ...) and count the generation."""
        with self._object_lock:
            current = self.load()
            spec = change(current)
            if spec == current.spec:
                return current
            metadata = current.metadata.model_copy(update={"generation": current.metadata.generation + 1})
            edited = current.model_copy(update={"spec": spec, "metadata": metadata})
            write_atomically(self.object_path, _dump(edited))
            return edited

    def annotate(self, annotations: Mapping[str, str]) -> None:
        with self._object_lock:
            current = self.load()
            merged = {**current.metadata.annotations, **annotations}
            metadata = current.metadata.model_copy(update={"annotations": merged})
            write_atomically(self.object_path, _dump(current.model_copy(update={"metadata": metadata})))

    @contextmanager
    def control(self) -> Iterator[None]:
        """Be the only controller of this run.

        Raises:
            ConfigError: another one is alive; names its pid.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".controller.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ConfigError(
                f"--run-dir: {self.path} is controlled by `mimo run` with pid {self._controller_pid()}; "
                "wait for it, stop it with Ctrl-C, or use another --run-dir"
            ) from error
        try:
            write_atomically(self.controller_path, json.dumps({"pid": os.getpid()}))
            yield
        finally:
            self.controller_path.unlink(missing_ok=True)
            lock.release()

    def controller_alive(self) -> int | None:
        """Pid of the `mimo run` that controls this folder, if it lives."""
        pid = self._controller_pid()
        return pid if pid is not None and psutil.pid_exists(pid) else None

    def _controller_pid(self) -> int | None:
        try:
            return int(json.loads(self.controller_path.read_text(encoding="utf-8"))["pid"])
        except (FileNotFoundError, ValueError, KeyError):
            return None


def _dump(pipeline: PipelineObject) -> str:
    return json.dumps(pipeline.to_values(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
