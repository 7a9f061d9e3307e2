"""How log lines look: one event, one line; text for people, JSON for collectors. And who wrote one."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from dataclasses import dataclass
from typing import TextIO

_TEXT = "%(asctime)s %(levelname)s %(name)s%(rank)s: %(message)s"
_TEXT_START = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [A-Z]+ [^\s:]+(?: r(\d+))?: ")
# Libraries that tell every request at INFO.
_QUIET = ("urllib3", "httpx", "filelock", "matplotlib", "asyncio")


class _RankFilter(logging.Filter):
    """Adds ` r<rank>` to lines of groups of several ranks."""

    def __init__(self, rank: int, world_size: int) -> None:
        super().__init__()
        self._label = f" r{rank}" if world_size > 1 else ""

    def filter(self, record: logging.LogRecord) -> bool:
        record.rank = self._label
        return True


class _OneLineFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(_TEXT)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).replace("\n", "\\n")


class JsonFormatter(logging.Formatter):
    """{"time", "level", "logger", "message", "rank"?, "exception"?}; the traceback stays inside the line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if getattr(record, "rank", ""):
            line["rank"] = record.rank.strip()  # type: ignore[attr-defined]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


@dataclass(frozen=True)
class LineStart:
    """`rank`: None where the writer is no rank of a group of several."""

    rank: int | None


def line_start(line: str) -> LineStart | None:
    """None for a line that goes on from the one before, such as of a traceback, and for those of other programs."""
    if line.startswith('{"time": '):
        try:
            label = str(json.loads(line).get("rank", ""))
        except ValueError:
            return None
        return LineStart(int(label[1:]) if re.fullmatch(r"r\d+", label) else None)
    found = _TEXT_START.match(line)
    return None if found is None else LineStart(None if found[1] is None else int(found[1]))


def configure_logging(
    *,
    level: int = logging.INFO,
    json_lines: bool = False,
    rank: int = 0,
    world_size: int = 1,
    stream: TextIO | None = None,
) -> None:
    """Send all log lines of this process to stderr (or `stream`), replacing earlier handlers."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if json_lines else _OneLineFormatter())
    handler.addFilter(_RankFilter(rank, world_size))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
