"""Which run of the server belongs to a pipeline and which to a stage attempt: found, or created once.

The parent run is agreed on through `<run>/tracking.json` in the store: the first conditional create wins, a loser
deletes the run it made. The child run of an attempt is found by its tags; only the attempt's owner creates it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimo_vl.errors import ArtifactNotFoundError, PreconditionFailedError
from mimo_vl.tracking.rest import MlflowRest, TrackingRejectedError, TrackingUnavailableError
from mimo_vl.tracking.tracker import KeyValueStore, RunStatus, Target

MISSING, _EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
TAG_RUN, TAG_STAGE, TAG_ATTEMPT = "mimo.run_id", "mimo.stage", "mimo.attempt"


class AttemptRun:
    """The server's run of one attempt; ids are looked up at the first need."""

    def __init__(
        self,
        rest: MlflowRest,
        store: KeyValueStore,
        *,
        experiment: str,
        run: str,
        attempt: str,
        may_create: bool = True,
        is_live: bool = False,
        files: Path | None = None,
    ) -> None:
        """An attempt's run that has not been looked up.

        Args:
            rest: the server.
            store: of the pipeline.
            experiment: name.
            run: key prefix of the pipeline run.
            attempt: key prefix of the attempt.
            may_create: False = another process, the attempt's owner, makes the runs.
            is_live: the attempt runs now, so the pipeline does as it does; a replay tells of what is over.
            files: local folder of the attempt's small artifacts, which may not have reached the store yet.
        """
        self.rest = rest
        self.store = store
        self.attempt = attempt
        self.is_live = is_live
        self.files = files
        self.artifact_roots: dict[str, str] = {}
        """By run id, as far as asked for: path below the server's artifact proxy."""
        self._experiment = experiment
        self._run = run
        self._may_create = may_create
        self.experiment_id = ""
        self.parent_run_id = ""
        self.run_id = ""

    @property
    def ids(self) -> dict[str, str]:
        known = {"run_id": self.run_id, "parent_run_id": self.parent_run_id, "experiment_id": self.experiment_id}
        return {name: value for name, value in known.items() if value}

    def ensure(self, run_name: str, start_time_ms: int) -> str:
        """Id of the attempt's run, creating experiment, parent and child as needed.

        Raises:
            TrackingUnavailableError: also while the run's owner has not created it.
        """
        if not self.run_id and not self._may_create:
            self._find_parent()
        if not self.run_id:
            self.experiment_id = ensure_experiment(self.rest, self._experiment)
            self.parent_run_id = ensure_parent_run(
                self.rest, self.store, self._run, self.experiment_id, start_time_ms=start_time_ms
            )
            self.run_id = self._find() or self._create(run_name, start_time_ms)
        return self.run_id

    def id_of(self, target: Target) -> str:
        """The start entry comes first; without it (a damaged journal) the run is found or made without a name."""
        run_id = self.ensure("", 0)
        return self.parent_run_id if target == Target.PIPELINE else run_id

    def _find_parent(self) -> None:
        known, _ = read_parent(self.store, self._run)
        self.experiment_id, self.parent_run_id = known.get("experiment_id", ""), known.get("run_id", "")
        self.run_id = self._find() if self.parent_run_id else ""
        if not self.run_id:
            raise TrackingUnavailableError(
                f"tracking server {self.rest.uri}: the owner of {self.attempt} has no run yet"
            )

    def _own_tags(self) -> dict[str, str]:
        stage, _, attempt = self.attempt.removeprefix(self._run).strip("/").partition("/")
        run_id = self._run.removeprefix("runs/")
        return {TAG_RUN: run_id, TAG_STAGE: stage, TAG_ATTEMPT: attempt.removeprefix("attempt-")}

    def _find(self) -> str:
        condition = " and ".join(f"tags.`{name}` = '{value}'" for name, value in self._own_tags().items())
        body = {"experiment_ids": [self.experiment_id], "filter": condition, "max_results": 1}
        found = self.rest.post("runs/search", body).get("runs", [])
        return str(found[0]["info"]["run_id"]) if found else ""

    def _create(self, run_name: str, start_time_ms: int) -> str:
        tags = self._own_tags() | {"mlflow.parentRunId": self.parent_run_id}
        return create_run(self.rest, self.experiment_id, run_name, tags, start_time_ms)


def ensure_experiment(rest: MlflowRest, name: str) -> str:
    try:
        return str(rest.get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"])
    except TrackingRejectedError as error:
        if error.code != MISSING:
            raise
    try:
        return str(rest.post("experiments/create", {"name": name})["experiment_id"])
    except TrackingRejectedError as error:
        if error.code != _EXISTS:
            raise
        return ensure_experiment(rest, name)


def ensure_parent_run(
    rest: MlflowRest, store: KeyValueStore, run: str, experiment_id: str, *, start_time_ms: int = 0
) -> str:
    """Id of the pipeline's run. A run that the server no longer knows (its database was replaced) is made anew.

    `start_time_ms`: of the attempt that asks first; 0 = now.
    """
    known, etag = read_parent(store, run)
    if known and get_run(rest, known["run_id"]) is not None:
        return known["run_id"]
    name = run.removeprefix("runs/")
    created = create_run(rest, experiment_id, name, {TAG_RUN: name}, start_time_ms or int(time.time() * 1000))
    record = json.dumps({"run_id": created, "experiment_id": experiment_id, "uri": rest.uri}, sort_keys=True).encode()
    try:
        store.put_bytes(_parent_key(run), record, if_none_match=etag is None, if_match=etag)
    except PreconditionFailedError:
        rest.post("runs/delete", {"run_id": created})
        winner, _ = read_parent(store, run)
        return winner["run_id"]
    return created


def read_parent(store: KeyValueStore, run: str) -> tuple[dict[str, str], str | None]:
    """Content and etag of `<run>/tracking.json`; ({}, None) without it."""
    try:
        data, etag = store.get_bytes(_parent_key(run))
    except ArtifactNotFoundError:
        return {}, None
    return json.loads(data), etag


def get_run(rest: MlflowRest, run_id: str) -> dict[str, Any] | None:
    """`info`, `data` and `inputs` of a run; None if the server does not know it."""
    try:
        run: dict[str, Any] = rest.get("runs/get", run_id=run_id)["run"]
    except TrackingRejectedError as error:
        if error.code != MISSING:
            raise
        return None
    return run


def run_tags(run: Mapping[str, Any] | None) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in run["data"].get("tags", [])} if run else {}


def create_run(rest: MlflowRest, experiment_id: str, name: str, tags: Mapping[str, str], start_time_ms: int) -> str:
    body: dict[str, Any] = {"experiment_id": experiment_id, "run_name": name, "start_time": start_time_ms}
    body["tags"] = [{"key": key, "value": value} for key, value in sorted(tags.items())]
    return str(rest.post("runs/create", body)["run"]["info"]["run_id"])


def mark_running(rest: MlflowRest, run_id: str) -> None:
    rest.post("runs/update", {"run_id": run_id, "status": "RUNNING"})


def end_run(rest: MlflowRest, run_id: str, status: RunStatus, time_ms: int) -> None:
    rest.post("runs/update", {"run_id": run_id, "status": status, "end_time": time_ms})


def _parent_key(run: str) -> str:
    return f"{run}/tracking.json"
