"""A run on this machine: its folder holds the object, the logs and, unless configured otherwise, the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli_names import near_matches, stage_status
from mimo_vl.errors import ConfigError, InputError
from mimo_vl.storage.layout import run_of_output

if TYPE_CHECKING:
    from mimo_vl.reporting.read import Source
    from operators.mimo_pipeline.api import MimoPipelineSpec
    from operators.mimo_pipeline.local.state import PipelineObject, RunFolder

_FOLLOW_INTERVAL_S = 0.5
_ENDED = frozenset({"Succeeded", "Failed", "Skipped", "Suspended", "Retrying", "AwaitingApproval"})
OBJECT_FILE = "pipeline.json"


def run_folders(root: Path) -> list[Path]:
    """Folders below `root` that hold a run, by name; `root` itself if it is one."""
    if (root / OBJECT_FILE).is_file():
        return [root]
    return sorted(path.parent for path in root.glob(f"*/{OBJECT_FILE}"))


def complete_run(incomplete: str) -> list[str]:
    """For the shell: names below runs/."""
    return [path.name for path in run_folders(Path("runs")) if path.name.startswith(incomplete)]


class LocalTarget:
    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def load(self) -> PipelineObject:
        return self._folder().load()

    def edit(self, change: Callable[[PipelineObject], MimoPipelineSpec]) -> str:
        folder = self._folder()
        folder.edit_spec(change)
        pid = folder.controller_alive()
        return f"mimo run (pid {pid}) acts on it" if pid else f"takes effect with: mimo run --run-dir {self._run_dir}"

    def logs(self, stage: str, attempt: int, rank: int | None) -> Iterator[tuple[str, str]]:
        path = self._log_path(stage, attempt, rank)
        if path.is_file():
            yield "", path.read_text(errors="replace")
        else:
            yield from self._stored_log(stage, attempt, path)

    def follow(self, stage: str, attempt: int, rank: int | None) -> Iterator[tuple[str, str]]:
        path = self._log_path(stage, attempt, rank)
        if not path.is_file():
            yield from self._stored_log(stage, attempt, path)
            return
        with path.open(errors="replace") as file:
            while True:
                # Asked before reading: what was written until then is all there will be.
                has_ended = self._has_ended(stage, attempt)
                text = file.read()
                if text:
                    yield "", text
                elif has_ended:
                    return
                else:
                    time.sleep(_FOLLOW_INTERVAL_S)

    def notes(self, pipeline: PipelineObject, /) -> list[str]:
        pid = self._folder().controller_alive()
        if pid:
            return [f"controlled by pid {pid}"]
        if pipeline.status.phase in ("Succeeded", "Cancelled"):
            return [f"nobody controls it; its report: mimo report {self._run_dir}"]
        return [f"nobody controls it; go on with: mimo run --run-dir {self._run_dir}"]

    @contextmanager
    def open_source(self, pipeline: PipelineObject, /) -> Iterator[Source]:
        from jobs.run_source import build_source, storage_config
        from mimo_vl.storage import open_store

        storage = storage_config(pipeline)
        yield build_source(pipeline, open_store(storage, default_root=self._folder().store_path), storage)

    @contextmanager
    def open_tracking(self, pipeline: PipelineObject, /) -> Iterator[str]:
        from jobs.run_source import tracking_uri
        from operators.mimo_pipeline.local.tracking_server import TrackingServer, wait_until_it_answers
        from operators.mimo_pipeline.tracking_page import tracking_page

        given = tracking_uri(pipeline)
        if given:
            yield pipeline.status.mlflow or given
            return
        folder = self._folder()
        server = TrackingServer(folder.path)
        try:
            address = server.uri()
            wait_until_it_answers(address)
            with self.open_source(pipeline) as source:
                pages = (tracking_page(source.store, run_id, server=address) for run_id in _tracked_runs(pipeline))
                page = next(filter(None, pages), address)
            yield page
        finally:
            # Stages of a run that goes on send to it.
            if folder.controller_alive() is None:
                server.stop()

    def report_path(self, _: PipelineObject, /) -> Path:
        return self._folder().path / "report.html"

    def _log_path(self, stage: str, attempt: int, rank: int | None) -> Path:
        if rank is not None:
            raise ConfigError("--rank: on one machine all ranks write one log; leave it out")
        folder = self._folder()
        pipeline = folder.load()
        return folder.log_path(pipeline.metadata.uid, stage, attempt or stage_status(pipeline, stage).attempt)

    def _stored_log(self, stage: str, attempt: int, path: Path) -> Iterator[tuple[str, str]]:
        """The copy in the store: of a run whose output is reused here, or whose log files were removed."""
        from jobs.run_source import storage_config
        from jobs.shipped_logs import read_logs
        from mimo_vl.storage import open_store, store_for_uri
        from mimo_vl.storage.layout import attempt_prefix

        folder = self._folder()
        pipeline = folder.load()
        current = stage_status(pipeline, stage)
        number, storage = attempt or current.attempt, storage_config(pipeline)
        root = open_store(storage, default_root=folder.store_path)
        own = root.uri(attempt_prefix(pipeline.run_id, stage, number))
        found = read_logs(store_for_uri(current.output_uri if current.reused else own, storage), None)
        if not found:
            raise InputError(
                f"stage {stage}, attempt {number}: no log {path}, and none in the store; it has not run in this run. "
                f"See what has: mimo status {self._run_dir}"
            )
        yield from ((name if len(found) > 1 else "", text) for name, text in found)

    def _has_ended(self, stage: str, attempt: int) -> bool:
        folder = self._folder()
        current = stage_status(folder.load(), stage)
        is_past = bool(attempt) and attempt != current.attempt
        return is_past or current.state in _ENDED or folder.controller_alive() is None

    def _folder(self) -> RunFolder:
        from operators.mimo_pipeline.local.state import RunFolder

        folder = RunFolder(self._run_dir)
        if not folder.path.is_dir():
            others = [path.name for path in run_folders(folder.path.parent)]
            hint = f"start a run with: mimo run --run-dir {self._run_dir}"
            near = near_matches(folder.path.name, others)
            raise InputError(f"--run-dir: {self._run_dir} does not exist; {hint}.{near}")
        return folder


def _tracked_runs(pipeline: PipelineObject) -> list[str]:
    """Its own id, then those of earlier runs whose outputs it reuses: where all were, no stage has made a run."""
    reused = [run_of_output(stage.output_uri) for stage in reversed(pipeline.status.stages) if stage.reused]
    return list(dict.fromkeys([pipeline.run_id, *reused]))
