"""What was logged, kept on disk: chunks of JSON lines with original times, so that sending them twice changes nothing.

`<attempt>/journal/chunk-<k>.jsonl`, `files/<path>` for small artifacts, and `sent.json` once the server has everything:
how many entries it has, and in which run.
How they get into a remote store: journal_upload.py.
A further node of the attempt has a journal of its own, `<attempt>/journal/node-<n>/`.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import Field, ValidationError

from mimo_vl.errors import ArtifactNotFoundError
from mimo_vl.schema.record import Record
from mimo_vl.tracking.journal_upload import JournalUpload
from mimo_vl.tracking.tracker import KeyValueStore, Target

JOURNAL = "journal"
SENT = "sent.json"
FILES = "files"
# A chunk is the unit of upload to a remote store.
_ENTRIES_PER_CHUNK = 500


class JournalEntry(Record):
    """One call of the tracker. `values` of metrics are texts, because JSON has no NaN."""

    kind: Literal["start", "config", "metrics", "input", "tags", "artifact", "model", "finish"]
    time_ms: int
    name: str = ""
    step: int = 0
    values: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    # Whose run it belongs to.
    target: Target = Target.ATTEMPT


def metric_text(value: float) -> str:
    """Text that both Python and the server read back as the same number."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(float(value))


class JournalWriter:
    """Appends entries; each is on disk when append() returns. Safe to use from several threads.

    Only flush() and close() wait for the store.
    """

    def __init__(
        self, folder: Path, store: KeyValueStore, attempt: str, *, impatient: KeyValueStore, node_rank: int = 0
    ) -> None:
        """`folder` is that of the attempt's journal on this node; `impatient` the store for uploads in between."""
        self._folder = folder / f"node-{node_rank}" if node_rank else folder
        self._store = store
        self._prefix = f"{attempt}/{JOURNAL}" + (f"/node-{node_rank}" if node_rank else "")
        self._upload = JournalUpload(self._folder, self._prefix, store=store, impatient=impatient)
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._chunk = -1
        self._in_chunk = 0
        self._num_entries = 0

    @property
    def num_entries(self) -> int:
        return self._num_entries

    def append(self, entry: JournalEntry) -> None:
        with self._lock:
            if self._file is None or self._in_chunk >= _ENTRIES_PER_CHUNK:
                self._next_chunk()
            assert self._file is not None
            self._file.write(entry.to_json() + b"\n")
            self._file.flush()
            self._in_chunk += 1
            self._num_entries += 1
            self._upload.add(self._chunk_name())

    def keep_file(self, path: str, data: bytes) -> None:
        """Bytes of an artifact; its entry is appended after them."""
        file = self._folder / FILES / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all.
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_bytes(data)
        temporary.replace(file)
        self._upload.add(f"{FILES}/{path}")

    def flush(self) -> None:
        self._upload.flush()

    def close(self, *, is_sent: bool, run_id: str = "") -> None:
        """`is_sent`: the server has every entry, in its run `run_id`; a replay may skip this journal."""
        with self._lock:
            if self._file is None:
                return
            self._file.close()
            self._file = None
            self._upload.close()
            if is_sent:
                mark_sent(self._store, self._prefix, self._num_entries, run_id)

    def _next_chunk(self) -> None:
        if self._file is not None:
            self._file.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._chunk, self._in_chunk = self._chunk + 1, 0
        self._file = (self._folder / self._chunk_name()).open("ab")

    def _chunk_name(self) -> str:
        return f"chunk-{self._chunk:05d}.jsonl"


def mark_sent(store: KeyValueStore, journal: str, num_entries: int, run_id: str) -> None:
    record = {"num_entries": num_entries, "run_id": run_id}
    store.put_bytes(f"{journal}/{SENT}", json.dumps(record).encode())


def num_sent(store: KeyValueStore, journal: str) -> int:
    try:
        return int(_sent(store, journal)["num_entries"])
    except (ValueError, KeyError):
        return 0


def run_sent_to(store: KeyValueStore, journal: str) -> str:
    """Id of the server's run; "" while the server misses entries."""
    try:
        return str(_sent(store, journal)["run_id"])
    except (ValueError, KeyError):
        return ""


def _sent(store: KeyValueStore, journal: str) -> dict[str, Any]:
    """Raises ValueError if it is no JSON; {} without it."""
    try:
        return dict(json.loads(store.get_bytes(f"{journal}/{SENT}")[0]))
    except ArtifactNotFoundError:
        return {}


def read_journal(store: KeyValueStore, journal: str) -> Iterator[JournalEntry]:
    """Entries in order. The last line of a chunk may be half-written if the process was killed: it was never logged."""
    for chunk in sorted(o.key for o in store.list(f"{journal}/chunk-")):
        lines = store.get_bytes(chunk)[0].splitlines()
        for index, line in enumerate(lines):
            try:
                yield JournalEntry.from_json(line)
            except ValidationError:
                if index != len(lines) - 1:
                    raise


def metrics_entry(
    metrics: Mapping[str, float], step: int, time_ms: int, target: Target = Target.ATTEMPT
) -> JournalEntry:
    values = {name: metric_text(value) for name, value in metrics.items()}
    return JournalEntry(kind="metrics", time_ms=time_ms, step=step, values=values, target=target)
