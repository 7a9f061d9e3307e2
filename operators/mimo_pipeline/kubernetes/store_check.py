"""Does the store honour conditional writes? Without them two processes could own one attempt."""

from __future__ import annotations

import uuid

from mimo_vl.errors import ConfigError, PreconditionFailedError
from mimo_vl.storage.store import ArtifactStore


def require_conditional_writes(store: ArtifactStore) -> None:
    """Create one small object twice with If-None-Match: *; the second time must be refused.

    Raises:
        ConfigError: it was not.
        StorageError: the store does not answer.
    """
    key = f"checks/conditional-write-{uuid.uuid4().hex}"
    store.put_bytes(key, b"first", if_none_match=True)
    try:
        store.put_bytes(key, b"second", if_none_match=True)
    except PreconditionFailedError:
        return
    finally:
        store.delete(key)
    raise ConfigError(
        f"store.uri: {store.uri()} accepts a second conditional create (If-None-Match: *) of one object; "
        "wanted a refusal with 412; use a store with conditional writes (MinIO, AWS S3, Ceph RGW)"
    )
