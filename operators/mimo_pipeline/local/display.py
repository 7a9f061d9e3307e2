"""What a person sees while the pipeline runs: a progress bar per stage on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from operators.mimo_pipeline.api import ACTIVE_STATES, MimoPipelineStatus, StageState, StageStatus
from operators.mimo_pipeline.plan import Event, EventType

# Plain lines about a running stage at most this often.
_LINE_EVERY_S = 10.0
# Metrics shown beside the bar, in this order, at most three.
_SHOWN_METRICS = ("loss", "reward", "accuracy", "tokens_per_s", "lr")


class Display(Protocol):
    def event(self, event: Event) -> None: ...

    def update(self, status: MimoPipelineStatus) -> None: ...

    def close(self) -> None: ...


def build_display(console: Console) -> Display:
    return BarDisplay(console) if console.is_terminal else LineDisplay(console)


def describe(stage: StageStatus) -> str:
    """Short text about a running stage: message and a few metrics."""
    progress = stage.progress
    if progress is None:
        return stage.message
    shown = [f"{k} {progress.metrics[k]:.4g}" for k in _SHOWN_METRICS if k in progress.metrics][:3]
    if not shown:
        shown = [f"{k} {v:.4g}" for k, v in sorted(progress.metrics.items())[:3]]
    return ", ".join(x for x in (progress.message, *shown) if x)


class LineDisplay:
    """One line per event, and one per stage every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s: dict[str, float] = {}
        self._last: dict[str, str] = {}

    def event(self, event: Event) -> None:
        self._line(_event_text(event))

    def update(self, status: MimoPipelineStatus) -> None:
        now_s = time.monotonic()
        for stage in status.stages:
            if stage.state not in ACTIVE_STATES or stage.progress is None or now_s < self._next_s.get(stage.name, 0.0):
                continue
            total = f"/{stage.progress.total}" if stage.progress.total else ""
            text = f"{stage.name} {stage.progress.step}{total} {stage.progress.unit} {describe(stage)}".rstrip()
            if text != self._last.get(stage.name):
                self._line(text)
                self._last[stage.name] = text
                self._next_s[stage.name] = now_s + _LINE_EVERY_S

    def close(self) -> None:
        return

    def _line(self, text: str) -> None:
        clock = time.strftime("%H:%M:%S")
        self._console.print(f"{clock} {text}", markup=False, highlight=False, soft_wrap=True)


class BarDisplay:
    """A bar per stage that has begun."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: dict[str, TaskID] = {}
        self._ended: set[str] = set()
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            refresh_per_second=4,
        )
        self._progress.start()

    def event(self, event: Event) -> None:
        if event.type == EventType.WARNING:
            self._progress.console.print(_event_text(event), style="yellow", markup=False)

    def update(self, status: MimoPipelineStatus) -> None:
        for stage in status.stages:
            if stage.state == StageState.PENDING or stage.name in self._ended:
                continue
            if stage.name not in self._bars:
                self._bars[stage.name] = self._progress.add_task(stage.name, total=None, text="")
            self._show(stage)

    def close(self) -> None:
        self._progress.stop()

    def _show(self, stage: StageStatus) -> None:
        bar, progress = self._bars[stage.name], stage.progress
        if progress is not None:
            self._progress.update(bar, completed=progress.step, total=progress.total or None)
        if stage.state in ACTIVE_STATES:
            self._progress.update(bar, text=escape(describe(stage)))
            return
        text = "reused" if stage.reused else f"{stage.state}" + (f": {stage.message}" if stage.message else "")
        self._progress.update(bar, text=escape(text))
        if stage.state == StageState.SUCCEEDED:
            total = progress.total if progress is not None and progress.total else 1
            self._progress.update(bar, total=total, completed=total)
        if stage.state in (StageState.SUCCEEDED, StageState.FAILED, StageState.SKIPPED):
            self._progress.stop_task(bar)
            self._ended.add(stage.name)


def _event_text(event: Event) -> str:
    return f"{event.reason}: {event.message}"
