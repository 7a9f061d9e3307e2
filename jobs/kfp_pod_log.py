"""What of a pod's log is new? It is asked for since the last line that was read; the times of lines tell. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A carriage return of a progress bar ends no line; what has no time in front is no line of the log.
_LINE = re.compile(r"^(\d{4}-\d\d-\d\dT\S+) ([^\n]*\n?)", re.M)
# The API takes whole seconds, so the lines of the last second come once more.
_FRACTION = re.compile(r"\.\d+")


@dataclass(frozen=True, kw_only=True)
class NewText:
    text: str
    follows: bool
    """False: what was read last is not in the log any more. It was rotated, and lines between may be lost."""


class PodLogPlace:
    """Where in a pod's log we are."""

    def __init__(self) -> None:
        self._stamp = ""
        self._same_stamp = 0
        """Lines with that time that were read."""
        self._num_chars = 0
        """Of the last of them: a line may still grow."""

    @property
    def since(self) -> str:
        """For the next request; "" = from the beginning."""
        return _FRACTION.sub("", self._stamp)

    def take(self, stamped: str) -> NewText:
        """`stamped`: lines since then, each with its time in front; what is taken is not new the next time."""
        lines = [_Line(*found) for found in _LINE.findall(stamped)]
        if not lines:
            return NewText(text="", follows=True)
        known = [i for i, line in enumerate(lines) if line.stamp == self._stamp][: self._same_stamp]
        follows = bool(known) or not self._stamp
        new = [line.text for line in lines]
        if known:
            new = [new[known[-1]][self._num_chars :], *new[known[-1] + 1 :]]
        last = lines[-1]
        self._stamp, self._num_chars = last.stamp, len(last.text)
        self._same_stamp = sum(line.stamp == last.stamp for line in lines)
        return NewText(text="".join(new), follows=follows)


@dataclass(frozen=True)
class _Line:
    stamp: str
    text: str
