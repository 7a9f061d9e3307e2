"""`mimo status`: where a run stands now, once or until it has ended."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from jobs.cli_output import Format, print_json, print_json_line, wide_console
from jobs.cli_target import Target
from operators.mimo_pipeline.api import TERMINAL_PHASES
from operators.mimo_pipeline.local.state import PipelineObject
from operators.mimo_pipeline.local.tables import status_table

_INTERVAL_S = 2.0


def print_status(target: Target, output: Format) -> None:
    found = target.load()
    if output == Format.JSON:
        print_json(found.to_values())
        return
    _print(wide_console(), target, found)


def watch_status(target: Target, output: Format, *, interval_s: float = _INTERVAL_S) -> None:
    """On a terminal one table that changes; elsewhere a new one, or one JSON object, after every change."""
    console = wide_console()
    if output == Format.TABLE and console.is_terminal:
        _watch_live(console, target, interval_s)
        return
    last = None
    while True:
        found = target.load()
        if found.status != last:
            last = found.status
            if output == Format.JSON:
                print_json_line(found.to_values())
            else:
                _print(console, target, found)
        if found.status.phase in TERMINAL_PHASES:
            return
        time.sleep(interval_s)


def _watch_live(console: Console, target: Target, interval_s: float) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = target.load()
            live.update(Group(Text(_headline(found)), status_table(found.status), *_notes(target, found)), refresh=True)
            if found.status.phase in TERMINAL_PHASES:
                return
            time.sleep(interval_s)


def _print(console: Console, target: Target, found: PipelineObject) -> None:
    console.print(_headline(found), markup=False, highlight=False)
    console.print(status_table(found.status))
    for note in _notes(target, found):
        console.print(note, soft_wrap=True)


def _headline(found: PipelineObject) -> str:
    return f"{found.run_id}  {found.status.phase}"


def _notes(target: Target, found: PipelineObject) -> list[Text]:
    return [Text(note) for note in target.notes(found)]
