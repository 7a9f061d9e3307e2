"""Several streams of text as one, in the order in which their lines come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping

from mimo_vl.errors import MimoError

_MAX_WAITING = 1000
_Item = tuple[str, str | None]


def merged(streams: Mapping[str, Iterator[str]]) -> Iterator[tuple[str, str]]:
    """(name, whole lines), until every stream has ended; the name is "" for a single stream.

    A stream that breaks says so in a line of its own and ends; the others go on.
    """
    waiting: queue.Queue[_Item] = queue.Queue(_MAX_WAITING)
    for name, stream in streams.items():
        threading.Thread(target=_read, args=(name, stream, waiting), name=f"follow-{name}", daemon=True).start()
    num_open = len(streams)
    while num_open:
        name, text = waiting.get()
        if text is None:
            num_open -= 1
        else:
            yield (name if len(streams) > 1 else ""), text


def _read(name: str, stream: Iterator[str], waiting: queue.Queue[_Item]) -> None:
    part = ""
    try:
        for text in stream:
            whole, newline, part = (part + text).rpartition("\n")
            if newline:
                waiting.put((name, whole + newline))
    except (MimoError, OSError) as error:
        waiting.put((name, f"{part}\nthe log broke off: {error}\n"))
        part = ""
    if part:
        waiting.put((name, part))
    waiting.put((name, None))
