"""How a journal's files get from the node into the store: in the background, and for certain where somebody waits.

The background tries once and keeps what failed; only flush() waits for a store that is away. What is kept are names:
the bytes lie on the node's disk.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from mimo_vl.errors import MimoError
from mimo_vl.tracking.tracker import KeyValueStore

logger = logging.getLogger(__name__)

# A killed pod loses this much at most, if the store was there.
_INTERVAL_S = 30.0


class JournalUpload:
    """Files below `folder` that the store has not, or has in an older state. Safe to use from several threads."""

    def __init__(self, folder: Path, prefix: str, *, store: KeyValueStore, impatient: KeyValueStore) -> None:
        """Nothing is uploaded before the first add().

        Args:
            folder: of the journal on this node; on a file:// store in the store already, where an upload does nothing.
            prefix: of the journal's keys.
            store: for flush().
            impatient: the same store for the background, whose requests fail soon.
        """
        self._folder = folder
        self._prefix = prefix
        self._store = store
        self._impatient = impatient
        self._pending: set[str] = set()
        # One upload at a time: an older state of a file must not arrive after a newer one.
        self._uploading = threading.Lock()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, name: str) -> None:
        """The file has changed. Never waits for the store."""
        with self._lock:
            self._pending.add(name)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="journal-upload", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Raises StorageError if the store stays away; what is missing is tried again later."""
        self._upload(self._store)

    def close(self) -> None:
        self._closed.set()
        self.flush()

    def _run(self) -> None:
        is_away = False
        while not self._closed.wait(_INTERVAL_S):
            try:
                self._upload(self._impatient)
            except (MimoError, OSError) as error:
                if not is_away:
                    logger.warning("the journal of metrics is not in the store yet, it is kept on this node: %s", error)
                is_away = True
            else:
                is_away = False

    def _upload(self, store: KeyValueStore) -> None:
        with self._uploading:
            with self._lock:
                # Artifacts come before the chunks that name them.
                names = sorted(self._pending, key=lambda name: ("/" not in name, name))
            for name in names:
                with self._lock:
                    self._pending.discard(name)
                try:
                    store.put_file(f"{self._prefix}/{name}", self._folder / name)
                except BaseException:
                    self.add(name)
                    raise
