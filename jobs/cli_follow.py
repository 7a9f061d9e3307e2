"""Several streams of text as one, in the order in which their lines come."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from mimo_vl.errors import MimoError

NOTE = "mimo: "
"""What starts a line that is not of the log, but about it."""

Source = tuple[str, Iterator[str]]
"""Its name and its text."""

_INTERVAL_S = 2.0
_MAX_WAITING = 1000
_Item = tuple[str, str | None]


def merged(sources: Iterator[Source | None], *, interval_s: float = _INTERVAL_S) -> Iterator[tuple[str, str]]:
    """(name, whole lines), until there is no other source and every stream has ended.

    A stream that breaks says so in a line of its own and ends; the others go on.

    Args:
        sources: as they are found; None where there is no other one now, and it has to be asked again.
    """
    waiting: queue.Queue[_Item] = queue.Queue(_MAX_WAITING)
    num_open, may_come, ask_at_s = 0, True, 0.0
    while num_open or may_come:
        if may_come and time.monotonic() >= ask_at_s:
            found, may_come = _found_now(sources)
            for name, stream in found:
                threading.Thread(target=_read, args=(name, stream, waiting), name=f"follow-{name}", daemon=True).start()
            num_open += len(found)
            ask_at_s = time.monotonic() + interval_s
            continue
        try:
            name, text = waiting.get(timeout=max(0.0, ask_at_s - time.monotonic()) if may_come else None)
        except queue.Empty:
            continue
        if text is None:
            num_open -= 1
        else:
            yield name, text


def _found_now(sources: Iterator[Source | None]) -> tuple[list[Source], bool]:
    """And whether others may come."""
    found: list[Source] = []
    for source in sources:
        if source is None:
            return found, True
        found.append(source)
    return found, False


def _read(name: str, stream: Iterator[str], waiting: queue.Queue[_Item]) -> None:
    part = ""
    try:
        for text in stream:
            whole, newline, part = (part + text).rpartition("\n")
            if newline:
                waiting.put((name, whole + newline))
    except (MimoError, OSError) as error:
        waiting.put((name, f"{part}\n{NOTE}the log broke off: {error}\n"))
        part = ""
    if part:
        waiting.put((name, part))
    waiting.put((name, None))
