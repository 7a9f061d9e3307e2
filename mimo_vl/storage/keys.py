"""Has this exact work been done before? The index from stage key to an earlier output, per namespace."""

from __future__ import annotations

import logging

from pydantic import ValidationError

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ArtifactNotFoundError, CorruptDataError
from mimo_vl.schema.manifest import KeyEntry
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import key_index_key
from mimo_vl.storage.store import ArtifactStore, store_for_uri

logger = logging.getLogger(__name__)


def record_key(store: ArtifactStore, namespace: str, entry: KeyEntry) -> None:
    """The newest output of a key replaces an older one; both have the same content."""
    store.put_bytes(key_index_key(namespace, entry.stage_key), entry.to_json())


def find_by_key(
    store: ArtifactStore, namespace: str, stage_key: str, config: StorageConfig | None = None
) -> KeyEntry | None:
    """The earlier output of this stage key, if its manifest still exists and has the recorded digest."""
    key = key_index_key(namespace, stage_key)
    try:
        data, _ = store.get_bytes(key)
    except ArtifactNotFoundError:
        return None
    try:
        entry = KeyEntry.from_json(data)
    except ValidationError as error:
        raise CorruptDataError(f"{store.uri(key)} is no key entry; delete it: {error}") from error
    try:
        manifest = read_manifest(store_for_uri(entry.uri, config), "")
    except ArtifactNotFoundError:
        logger.warning("the output of stage key %s is gone uri=%s", stage_key, entry.uri)
        return None
    return entry if manifest.content_digest == entry.content_digest else None
