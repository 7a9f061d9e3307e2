"""How a small artifact gets from the journal into the artifact view of a run: through the server's artifact proxy.

A server whose artifact root is no proxy (`mlflow-artifacts:`) refuses: stages hold no keys of its bucket. The file
stays beside the journal then.
"""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import urlsplit

from mimo_vl.errors import ArtifactNotFoundError
from mimo_vl.tracking.journal import FILES, JOURNAL, JournalEntry
from mimo_vl.tracking.rest import TrackingRejectedError
from mimo_vl.tracking.runs import AttemptRun, get_run, run_tags

logger = logging.getLogger(__name__)

_PROXY = "mlflow-artifacts"
# The server's UI lists tables by this tag.
_TABLES_TAG = "mlflow.loggedArtifacts"
IS_TABLE = "is_table"
# What is larger is no picture and no table: it belongs into the store.
MAX_ARTIFACT_BYTES = 16 * 2**20


def send_artifact(run: AttemptRun, entry: JournalEntry) -> None:
    data = _kept(run, f"{entry.target}/{entry.name}")
    put_artifact(run, run.id_of(entry.target), entry.name, data)
    if entry.values.get(IS_TABLE):
        _announce_table(run, run.id_of(entry.target), entry.name)


def _kept(run: AttemptRun, path: str) -> bytes:
    if run.files is not None and (run.files / path).is_file():
        return (run.files / path).read_bytes()
    key = f"{run.attempt}/{JOURNAL}/{FILES}/{path}"
    try:
        return run.store.get_bytes(key)[0]
    except ArtifactNotFoundError as error:
        raise TrackingRejectedError(f"{run.store.uri(key)} is gone", "FILE_NOT_FOUND") from error


def put_artifact(run: AttemptRun, run_id: str, path: str, data: bytes) -> None:
    if run_id not in run.artifact_roots:
        run.artifact_roots[run_id] = _root(get_run(run.rest, run_id))
    run.rest.put_artifact(f"{run.artifact_roots[run_id]}/{path}", data)


def _root(found: dict[str, Any] | None) -> str:
    uri = urlsplit(found["info"]["artifact_uri"] if found else "")
    if uri.scheme != _PROXY:
        raise TrackingRejectedError(
            f"artifact root is {uri.geturl()!r}, wanted {_PROXY}:/...; start the server with --serve-artifacts and "
            "without --default-artifact-root",
            "NO_ARTIFACT_PROXY",
        )
    return uri.path.strip("/")


def _announce_table(run: AttemptRun, run_id: str, path: str) -> None:
    tables = json.loads(run_tags(get_run(run.rest, run_id)).get(_TABLES_TAG, "[]"))
    table = {"path": path, "type": "table"}
    if table not in tables:
        tag = {"key": _TABLES_TAG, "value": json.dumps([*tables, table])}
        run.rest.post("runs/log-batch", {"run_id": run_id, "tags": [tag]})
