"""How journal entries become requests to the server. Sending an entry twice changes nothing.

Metrics are identified by (name, step, time, value), params by name, inputs by digest, model versions by digest tag.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from mimo_vl.errors import InputError
from mimo_vl.tracking.journal import JournalEntry
from mimo_vl.tracking.rest import TrackingRejectedError
from mimo_vl.tracking.runs import AttemptRun, end_run
from mimo_vl.tracking.sources import model_source
from mimo_vl.tracking.tracker import RunStatus

logger = logging.getLogger(__name__)

# Limits of runs/log-batch.
_MAX_METRICS, _MAX_PARAMS = 1000, 100
# Column sizes of the server.
_MAX_DIGEST_CHARS, _MAX_PARAM_CHARS = 36, 6000
TAG_DIGEST = "mimo.digest"


def deliver(run: AttemptRun, entries: Sequence[JournalEntry]) -> None:
    """Send entries in order, neighbouring metrics together.

    Raises:
        TrackingUnavailableError: try again later, from the first entry.
        TrackingRejectedError: the server will never take one of them.
    """
    for kind, group in groupby(entries, key=lambda e: e.kind):
        if kind == "metrics":
            _send_metrics(run, group)
            continue
        for entry in group:
            _SENDERS[kind](run, entry)


def deliver_what_is_accepted(run: AttemptRun, entries: Sequence[JournalEntry]) -> int:
    """Send entries; where the server refuses some, the others arrive still. Returns the number of refused ones.

    Raises:
        TrackingUnavailableError: try again later, from the first entry.
    """
    try:
        deliver(run, entries)
    except TrackingRejectedError as error:
        if len(entries) == 1:
            logger.warning("tracking server refused a %s entry, it stays in the journal: %s", entries[0].kind, error)
            return 1
        return sum(deliver_what_is_accepted(run, [entry]) for entry in entries)
    return 0


def _send_metrics(run: AttemptRun, entries: Iterable[JournalEntry]) -> None:
    rows = [
        {"key": name, "value": _number(text), "timestamp": entry.time_ms, "step": entry.step}
        for entry in entries
        for name, text in sorted(entry.values.items())
    ]
    for start in range(0, len(rows), _MAX_METRICS):
        run.rest.post("runs/log-batch", {"run_id": _run_id(run), "metrics": rows[start : start + _MAX_METRICS]})


def _send_start(run: AttemptRun, entry: JournalEntry) -> None:
    run_id = run.ensure(entry.name, entry.time_ms)
    params = [{"key": k, "value": v[:_MAX_PARAM_CHARS]} for k, v in sorted(entry.values.items())]
    for start in range(0, len(params), _MAX_PARAMS):
        run.rest.post("runs/log-batch", {"run_id": run_id, "params": params[start : start + _MAX_PARAMS]})
    tags = [{"key": k, "value": v} for k, v in sorted(entry.tags.items())]
    run.rest.post("runs/log-batch", {"run_id": run_id, "tags": tags})


def _send_input(run: AttemptRun, entry: JournalEntry) -> None:
    uri, digest = entry.values["uri"], entry.values["digest"]
    dataset = {
        "name": entry.name,
        "digest": digest.removeprefix("sha256:")[:_MAX_DIGEST_CHARS],
        "source_type": "mimo-store",
        "source": json.dumps({"uri": uri, "digest": digest}, sort_keys=True),
    }
    tags = [{"key": "mlflow.data.context", "value": "input"}]
    run.rest.post("runs/log-inputs", {"run_id": _run_id(run), "datasets": [{"dataset": dataset, "tags": tags}]})


def _send_model(run: AttemptRun, entry: JournalEntry) -> None:
    name, digest = entry.name, entry.values["digest"]
    try:
        source = model_source(run.store, entry.values["uri"])
    except InputError as error:
        raise TrackingRejectedError(str(error), "INVALID_SOURCE") from error
    try:
        run.rest.post("registered-models/create", {"name": name})
    except TrackingRejectedError as error:
        if error.code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = _find_version(run, name, digest)
    if not version:
        tags = [{"key": TAG_DIGEST, "value": digest}]
        body = {"name": name, "source": source, "run_id": _run_id(run), "tags": tags}
        version = str(run.rest.post("model-versions/create", body)["model_version"]["version"])
    run.rest.post("registered-models/alias", {"name": name, "alias": entry.values["alias"], "version": version})


def _find_version(run: AttemptRun, name: str, digest: str) -> str:
    condition = f"name='{name}' and tags.`{TAG_DIGEST}`='{digest}'"
    found = run.rest.get("model-versions/search", filter=condition, max_results="1").get("model_versions", [])
    return str(found[0]["version"]) if found else ""


def _send_finish(run: AttemptRun, entry: JournalEntry) -> None:
    end_run(run.rest, _run_id(run), RunStatus(entry.name), entry.time_ms)


def _run_id(run: AttemptRun) -> str:
    """The start entry comes first; without it (a damaged journal) the run is found or made without a name."""
    return run.run_id or run.ensure("", 0)


def _number(text: str) -> Any:
    return text if text in ("NaN", "Infinity", "-Infinity") else float(text)


_SENDERS = {"start": _send_start, "input": _send_input, "model": _send_model, "finish": _send_finish}
