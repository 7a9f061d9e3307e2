"""Where a person finds the run of a pipeline in its tracking server."""

from __future__ import annotations

import json
import logging

from mimo_vl.errors import ArtifactNotFoundError
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.layout import TRACKING, join, run_prefix

logger = logging.getLogger(__name__)


def tracking_page(store: ArtifactStore, run_id: str, *, server: str = "") -> str:
    """URL of the parent run's page; "" until a stage has made the run.

    Args:
        store: of the run.
        run_id: `<namespace>/<pipeline>/<uid8>`.
        server: address at which the server is reached now, where it is another than the stages were told.
    """
    try:
        record = json.loads(store.get_bytes(join(run_prefix(run_id), TRACKING))[0])
        address = (server or record["uri"]).rstrip("/")
        return f"{address}/#/experiments/{record['experiment_id']}/runs/{record['run_id']}"
    except ArtifactNotFoundError:
        return ""
    except (KeyError, ValueError) as error:
        logger.error("unusable %s: %s", TRACKING, error)
        return ""
