"""How journal entries become requests to the server. Sending an entry twice changes nothing.

Metrics are identified by (name, step, time, value), params and tags by name, inputs by digest, artifacts by path,
model versions by digest tag.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import yaml

from mimo_vl.tracking.artifacts import put_artifact, send_artifact
from mimo_vl.tracking.journal import JournalEntry
from mimo_vl.tracking.params import flatten
from mimo_vl.tracking.parent_end import end_parent
from mimo_vl.tracking.registry import send_model
from mimo_vl.tracking.rest import TrackingRejectedError
from mimo_vl.tracking.runs import MISSING, AttemptRun, end_run, get_run, mark_running, run_tags
from mimo_vl.tracking.token_axis import by_tokens
from mimo_vl.tracking.tracker import RunStatus, Target

logger = logging.getLogger(__name__)

# Limits of runs/log-batch.
_MAX_METRICS, _MAX_PARAMS = 1000, 100
# Column sizes of the server.
_MAX_DIGEST_CHARS, _MAX_PARAM_CHARS, _MAX_TAG_CHARS = 36, 6000, 8000
CONFIG_FILE = "config.yaml"
# Set last: a parent run with this tag has the whole configuration.
TAG_CONFIG = "mimo.config_digest"


def deliver(run: AttemptRun, entries: Sequence[JournalEntry]) -> None:
    """Send entries in order, neighbouring metrics together.

    Raises:
        TrackingUnavailableError: try again later, from the first entry.
        TrackingRejectedError: the server will never take one of them.
    """
    for (kind, target), group in groupby(entries, key=lambda e: (e.kind, e.target)):
        if kind == "metrics":
            _send_metrics(run, target, group)
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


def _send_metrics(run: AttemptRun, target: Target, entries: Iterable[JournalEntry]) -> None:
    rows = [row for entry in entries for row in _metric_rows(entry)]
    for start in range(0, len(rows), _MAX_METRICS):
        run.rest.post("runs/log-batch", {"run_id": run.id_of(target), "metrics": rows[start : start + _MAX_METRICS]})


def _metric_rows(entry: JournalEntry) -> Iterator[dict[str, Any]]:
    copies, tokens = by_tokens(entry.values)
    for step, values in ((entry.step, entry.values), (tokens, copies)):
        for name, text in sorted(values.items()):
            yield {"key": name, "value": _number(text), "timestamp": entry.time_ms, "step": step}


def _send_start(run: AttemptRun, entry: JournalEntry) -> None:
    run_id = run.ensure(entry.name, entry.time_ms)
    _put_params(run, run_id, entry.values)
    _put_tags(run, run_id, entry.tags)


def _send_config(run: AttemptRun, entry: JournalEntry) -> None:
    """The configuration by the first attempt that reaches the server. A pipeline that had failed runs again."""
    run_id = run.id_of(Target.PIPELINE)
    found = get_run(run.rest, run_id)
    if run.is_live and found is not None and found["info"]["status"] != "RUNNING":
        mark_running(run.rest, run_id)
    has = run_tags(found)
    # A run in Kubeflow Pipelines may be known to later attempts only.
    _put_tags(run, run_id, {name: value for name, value in entry.tags.items() if has.get(name) != value})
    if has.get(TAG_CONFIG) == entry.name:
        return
    _put_params(run, run_id, flatten(yaml.safe_load(entry.values[CONFIG_FILE])))
    try:
        put_artifact(run, run_id, CONFIG_FILE, entry.values[CONFIG_FILE].encode())
    except TrackingRejectedError as error:
        logger.warning("%s is not in the artifact view of the run: %s", CONFIG_FILE, error)
    _put_tags(run, run_id, {TAG_CONFIG: entry.name})


def _send_tags(run: AttemptRun, entry: JournalEntry) -> None:
    """`values` are the names of tags that go."""
    run_id = run.id_of(entry.target)
    _put_tags(run, run_id, entry.tags)
    for name in sorted(entry.values):
        try:
            run.rest.post("runs/delete-tag", {"run_id": run_id, "key": name})
        except TrackingRejectedError as error:
            if error.code != MISSING:
                raise


def _put_params(run: AttemptRun, run_id: str, params: Mapping[str, str]) -> None:
    rows = [{"key": k, "value": v[:_MAX_PARAM_CHARS]} for k, v in sorted(params.items())]
    for start in range(0, len(rows), _MAX_PARAMS):
        run.rest.post("runs/log-batch", {"run_id": run_id, "params": rows[start : start + _MAX_PARAMS]})


def _put_tags(run: AttemptRun, run_id: str, tags: Mapping[str, str]) -> None:
    if tags:
        rows = [{"key": k, "value": v[:_MAX_TAG_CHARS]} for k, v in sorted(tags.items())]
        run.rest.post("runs/log-batch", {"run_id": run_id, "tags": rows})


def _send_input(run: AttemptRun, entry: JournalEntry) -> None:
    uri, digest = entry.values["uri"], entry.values["digest"]
    dataset = {
        "name": entry.name,
        "digest": digest.removeprefix("sha256:")[:_MAX_DIGEST_CHARS],
        "source_type": "mimo-store",
        "source": json.dumps({"uri": uri, "digest": digest}, sort_keys=True),
    }
    if entry.values.get("profile"):
        dataset["profile"] = entry.values["profile"]
    tags = [{"key": "mlflow.data.context", "value": "input"}]
    body = {"run_id": run.id_of(entry.target), "datasets": [{"dataset": dataset, "tags": tags}]}
    run.rest.post("runs/log-inputs", body)


def _send_finish(run: AttemptRun, entry: JournalEntry) -> None:
    run_id, status = run.id_of(entry.target), RunStatus(entry.name)
    _put_tags(run, run_id, entry.tags)
    end_run(run.rest, run_id, status, entry.time_ms)
    if run.is_live and entry.target == Target.ATTEMPT:
        end_parent(run, entry.time_ms)


def _number(text: str) -> Any:
    return text if text in ("NaN", "Infinity", "-Infinity") else float(text)


_SENDERS = {
    "start": _send_start,
    "config": _send_config,
    "input": _send_input,
    "tags": _send_tags,
    "artifact": send_artifact,
    "model": send_model,
    "finish": _send_finish,
}
