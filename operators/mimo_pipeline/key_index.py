"""Outputs of earlier work by stage key, for reuse."""

from __future__ import annotations

import logging

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import InputError
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.keys import find_by_key
from mimo_vl.storage.store import ArtifactStore, store_for_uri
from operators.mimo_pipeline.plan import Output

logger = logging.getLogger(__name__)


class KeyIndex:
    """Looks keys up. An output may be deleted at any time: before it is used, it is read again."""

    def __init__(self, store: ArtifactStore, namespace: str, storage: StorageConfig) -> None:
        self._store, self._namespace, self._storage = store, namespace, storage
        self._found: dict[str, Output] = {}

    def look_up(self, to_start: set[str], to_enter: set[str]) -> dict[str, Output | None]:
        """`to_start`: as the store has it now. `to_enter`: that there was an entry once is enough."""
        known = {key: self._found[key] for key in (to_enter - to_start) & self._found.keys()}
        return known | {key: self._look_up(key) for key in sorted((to_start | to_enter) - known.keys())}

    def _look_up(self, key: str) -> Output | None:
        output = self._read(key)
        if output is None:
            self._found.pop(key, None)
        else:
            self._found[key] = output
        return output

    def _read(self, key: str) -> Output | None:
        try:
            entry = find_by_key(self._store, self._namespace, key, self._storage)
            if entry is None:
                return None
            manifest = read_manifest(store_for_uri(entry.uri, self._storage), "")
        except InputError as error:
            # A damaged index entry or output is made again, not trusted.
            logger.warning("not reused: %s", error)
            return None
        return Output(uri=entry.uri, digest=entry.content_digest, key=key, metrics=manifest.metrics)
