"""How does the log of a node outlive its pod? What this process and its children print is copied to the store.

Every line goes on to where it went before, and its secrets are masked. The copy is bounded: the newest lines stay.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from mimo_vl.errors import MimoError
from mimo_vl.storage import ArtifactStore

logger = logging.getLogger(__name__)

_INTERVAL_S = 30.0
_MAX_BYTES = 10 << 20
# A line without an end must not wait, nor be held, for ever.
_MAX_LINE_BYTES = 64 << 10
# For the reader to see the end, after the last process that prints has ended.
_END_S = 5.0
# A store that is down must not use up the time that is left after SIGTERM.
_LAST_SEND_S = 15.0
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|API_?KEY|PRIVATE_KEY", re.IGNORECASE)
# Shorter values are not random, and masking them would garble the log.
_MIN_SECRET_CHARS = 8
# What is secret by its place: signatures of presigned URLs, bearer tokens, passwords in URLs.
_PLACES = (
    re.compile(rb"(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+"),
    re.compile(rb"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(rb"(://[^/\s:@]+:)[^/\s@]+(?=@)"),
)
_MASK = b"***"


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """Values of variables whose name says that they are secret, longest first."""
    values = {v for name, v in environ.items() if _SECRET_NAME.search(name) and len(v) >= _MIN_SECRET_CHARS}
    return sorted(values, key=lambda value: (-len(value), value))


class LogTail:
    """The newest lines, at most `max_bytes` of them, without secrets. Thread-safe."""

    def __init__(self, secrets: Iterable[str], *, max_bytes: int = _MAX_BYTES) -> None:
        self._secrets = [value.encode() for value in secrets]
        self._max_bytes = max_bytes
        self._lines: deque[bytes] = deque()
        self._num_bytes = self._num_dropped = 0
        self._lock = threading.Lock()

    def add(self, line: bytes) -> bytes:
        """Returns the line as it may be shown."""
        for secret in self._secrets:
            line = line.replace(secret, _MASK)
        for place in _PLACES:
            line = place.sub(rb"\1" + _MASK, line)
        with self._lock:
            self._lines.append(line)
            self._num_bytes += len(line)
            while self._num_bytes > self._max_bytes:
                dropped = self._lines.popleft()
                self._num_bytes -= len(dropped)
                self._num_dropped += len(dropped)
        return line

    def content(self) -> bytes:
        with self._lock:
            head = b"... %d bytes before this are left out\n" % self._num_dropped if self._num_dropped else b""
            return head + b"".join(self._lines)


@contextlib.contextmanager
def ship_output(store: ArtifactStore, key: str, environ: Mapping[str, str]) -> Iterator[None]:
    """Copy stdout and stderr of this process and of children started inside to `key`, now and then and at the end."""
    tail = LogTail(secret_values(environ))
    ended = threading.Event()
    sender = threading.Thread(target=_send, args=(store, key, tail, ended), name="ship-log", daemon=True)
    sender.start()
    try:
        with _captured_output(tail):
            yield
    finally:
        ended.set()
        sender.join(_LAST_SEND_S)


@contextlib.contextmanager
def _captured_output(tail: LogTail) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    read_end, write_end = os.pipe()
    stdout, stderr = os.dup(1), os.dup(2)
    os.dup2(write_end, 1)
    os.dup2(write_end, 2)
    os.close(write_end)
    reader = threading.Thread(target=_read, args=(read_end, stderr, tail), name="read-log", daemon=True)
    reader.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # The last copies of the write end: the reader then sees the end, unless a process left behind holds one.
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.close(stdout)
        reader.join(_END_S)
        if not reader.is_alive():
            os.close(stderr)


def _read(read_end: int, sink: int, tail: LogTail) -> None:
    with open(read_end, "rb") as stream:
        for line in _lines(stream):
            _write_all(sink, tail.add(line))


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(_MAX_LINE_BYTES):
        yield line


def _write_all(descriptor: int, data: bytes) -> None:
    # Nobody reading what we print must not stop the stage.
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


def _send(store: ArtifactStore, key: str, tail: LogTail, ended: threading.Event) -> None:
    sent = b""
    is_last = False
    while not is_last:
        is_last = ended.wait(_INTERVAL_S)
        content = tail.content()
        if content == sent:
            continue
        try:
            store.put_bytes(key, content)
            sent = content
        except (MimoError, OSError) as error:
            # The log is not worth failing for.
            logger.warning("log not written to the store: %s", error)
