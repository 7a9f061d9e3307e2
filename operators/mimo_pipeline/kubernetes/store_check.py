"""Does the store honour conditional writes? Without them two processes could own one attempt."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable

from mimo_vl.errors import ConfigError, PreconditionFailedError, StorageError
from mimo_vl.storage.store import ArtifactStore

logger = logging.getLogger(__name__)
_RETRY_S = 5.0


async def wait_for_store(connect: Callable[[], ArtifactStore], retry_s: float = _RETRY_S) -> None:
    """Returns when the store is there and honours conditional writes.

    Each try connects anew: while the Service's address does not lead to the store's pod yet, somebody else may answer
    there, and would go on answering on a connection that is kept.

    Raises:
        ConfigError: it does not honour them.
    """
    while True:
        try:
            await asyncio.to_thread(require_conditional_writes, connect())
            return
        except StorageError as error:
            logger.warning("waiting for the store: %s", error)
            await asyncio.sleep(retry_s)


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
