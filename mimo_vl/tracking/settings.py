"""What is read from the environment when MLflow, not a stage, asks for a model."""

from __future__ import annotations

import os

from mimo_vl.errors import ConfigError

STORE_VARIABLE = "MIMO_STORE"


def store_uri() -> str:
    """Root of the store in which models lie that are named by mimo-store://.

    Raises:
        ConfigError: not set, or no folder.
    """
    uri = os.environ.get(STORE_VARIABLE, "")
    if not uri.startswith("file:///"):
        raise ConfigError(
            f"{STORE_VARIABLE}: got {uri!r}; wanted the file:// URI of the store, such as file:///data/runs/demo/store"
        )
    return uri
