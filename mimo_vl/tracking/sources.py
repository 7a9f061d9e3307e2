"""How a model version names its bytes: `mimo-store://<run>/<stage>/attempt-<n>/...` for a store that is a folder.

MLflow's server refuses local paths as sources (they would let it read its own disk) and takes any other scheme as is;
s3:// stays s3://.
"""

from __future__ import annotations

from mimo_vl.errors import InputError
from mimo_vl.tracking.tracker import KeyValueStore

SCHEME = "mimo-store://"


def model_source(store: KeyValueStore, uri: str) -> str:
    """Raises InputError if a file:// URI lies outside the runs of the store."""
    if not uri.startswith("file:"):
        return uri
    root = store.uri("runs") + "/"
    if not uri.startswith(root):
        raise InputError(f"model {uri} cannot be registered: it is not below {root}")
    return SCHEME + uri.removeprefix(root)


def resolve_source(store_uri: str, source: str) -> str:
    """The inverse, of a source in the store with this root: URI of the model's folder.

    Raises:
        InputError: it leads out of the store's runs.
    """
    if not source.startswith(SCHEME):
        return source
    path = source.removeprefix(SCHEME)
    if ".." in path.split("/"):
        raise InputError(f"model source {source} leads out of the store; wanted {SCHEME}<run>/<stage>/attempt-<n>/...")
    return f"{store_uri.rstrip('/')}/runs/{path}"
