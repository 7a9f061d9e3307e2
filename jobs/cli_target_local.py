"""A run on this machine: its folder holds the object, the logs and, unless configured otherwise, the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli_names import attempt_has_ended, near_matches, stage_status
from jobs.cli_program import command, go_on, short
from mimo_vl.errors import InputError
from mimo_vl.storage.layout import run_of_output

if TYPE_CHECKING:
    from mimo_vl.reporting.read import Source
    from operators.mimo_pipeline.api import MimoPipelineSpec
    from operators.mimo_pipeline.local.state import PipelineObject, RunFolder

_FOLLOW_INTERVAL_S = 0.5
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
        edited = folder.edit_spec(change)
        pid = folder.controller_alive()
        return f"mimo run (pid {pid}) acts on it" if pid else f"takes effect with: {go_on(edited, self._run_dir)}"

    def logs(self, stage: str, attempt: int, node: int | None) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """All ranks of this machine write one log."""
        number = self._attempt(stage, attempt)
        path = self._log_path(stage, number)
        if path.is_file():
            yield "", path.read_text(errors="replace")
        else:
            yield from self._stored_log(stage, number, path)

    def follow(self, stage: str, attempt: int, node: int | None) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        number = self._attempt(stage, attempt)
        path = self._log_path(stage, number)
        if not path.is_file():
            yield from self._stored_log(stage, number, path)
            return
        with path.open(errors="replace") as file:
            while True:
                # Asked before reading: what was written until then is all there will be.
                has_ended = self._has_ended(stage, number)
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
            return [f"nobody controls it; its report: {command('report', short(self._run_dir))}"]
        return [f"nobody controls it; go on with: {go_on(pipeline, self._run_dir)}"]

    @contextmanager
    def open_source(self, pipeline: PipelineObject, /) -> Iterator[Source]:
        from jobs.run_source import local_source

        yield local_source(self._folder(), pipeline)

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

    def _attempt(self, stage: str, attempt: int) -> int:
        """The number of the attempt that is meant now; a later one is another log."""
        return attempt or stage_status(self.load(), stage).attempt

    def _log_path(self, stage: str, attempt: int) -> Path:
        folder = self._folder()
        return folder.log_path(folder.load().metadata.uid, stage, attempt)

    def _stored_log(self, stage: str, attempt: int, path: Path) -> Iterator[tuple[str, str]]:
        """The copy in the store: of a run whose output is reused here, or whose log files were removed."""
        from jobs.run_source import storage_config
        from jobs.shipped_logs import read_logs
        from mimo_vl.storage import open_store, store_for_uri
        from mimo_vl.storage.layout import attempt_prefix

        folder = self._folder()
        pipeline = folder.load()
        current, storage = stage_status(pipeline, stage), storage_config(pipeline)
        root = open_store(storage, default_root=folder.store_path)
        own = root.uri(attempt_prefix(pipeline.run_id, stage, attempt))
        found = read_logs(store_for_uri(current.output_uri if current.reused else own, storage))
        if not found:
            raise InputError(
                f"stage {stage}, attempt {attempt}: no log {path}, and none in the store; it has not run in this run. "
                f"See what has: {command('status', short(self._run_dir))}"
            )
        yield from ((f"node {node}" if len(found) > 1 else "", text) for node, text in found.items())

    def _has_ended(self, stage: str, attempt: int) -> bool:
        folder = self._folder()
        return attempt_has_ended(folder.load(), stage, attempt) or folder.controller_alive() is None

    def _folder(self) -> RunFolder:
        from operators.mimo_pipeline.local.state import RunFolder

        folder = RunFolder(self._run_dir)
        if not folder.path.is_dir():
            others = [path.name for path in run_folders(folder.path.parent)]
            hint = f"start a run with: {command('run', '--run-dir', self._run_dir)}"
            near = near_matches(folder.path.name, others)
            raise InputError(f"--run-dir: {self._run_dir} does not exist; {hint}.{near}")
        return folder


def _tracked_runs(pipeline: PipelineObject) -> list[str]:
    """Its own id, then those of earlier runs whose outputs it reuses: where all were, no stage has made a run."""
    reused = [run_of_output(stage.output_uri) for stage in reversed(pipeline.status.stages) if stage.reused]
    return list(dict.fromkeys([pipeline.run_id, *reused]))
