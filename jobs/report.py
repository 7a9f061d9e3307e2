"""Writes the page of a run: at the end of `mimo run`, and for `mimo report`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mimo_vl.reporting.page import render_page
from mimo_vl.reporting.read import Source, read_run
from mimo_vl.reporting.run import Run
from operators.mimo_pipeline.local.state import write_atomically


def write_report(source: Source, path: Path) -> Run:
    """Returns what the page shows. Readers see the old page or the new one."""
    run = read_run(source)
    write_page(run, path)
    return run


def write_page(run: Run, path: Path) -> None:
    write_atomically(path, render_page(run, now=datetime.now(UTC)))
