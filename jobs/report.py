"""Write report.html of a run folder: `python -m jobs.report runs/demo`. `mimo report` does it for any run."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from jobs.run_source import build_source, storage_config
from mimo_vl.errors import MimoError
from mimo_vl.reporting.page import render_page
from mimo_vl.reporting.read import Source, read_run
from mimo_vl.reporting.run import Run
from mimo_vl.storage import open_store
from operators.mimo_pipeline.local.state import RunFolder, write_atomically
from operators.mimo_pipeline.local.summary import REPORT

logger = logging.getLogger(__name__)


def local_source(folder: RunFolder) -> Source:
    """Raises InputError if there is no pipeline in the folder."""
    pipeline = folder.load()
    storage = storage_config(pipeline)
    return build_source(pipeline, open_store(storage, default_root=folder.store_path), storage)


def write_report(source: Source, path: Path) -> Run:
    """Returns what the page shows. Readers see the old page or the new one."""
    run = read_run(source)
    write_atomically(path, render_page(run, now=datetime.now(UTC)))
    return run


def rebuild_report(run_dir: Path) -> Path:
    """Returns the path of the report."""
    folder = RunFolder(run_dir)
    path = folder.path / REPORT
    write_report(local_source(folder), path)
    return path


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(arguments) != 1:
        logger.error("usage: python -m jobs.report RUN_DIR; got %d arguments", len(arguments))
        return 2
    try:
        logger.info("report: %s", rebuild_report(Path(arguments[0])))
    except MimoError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
