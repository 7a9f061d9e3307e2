"""When the parent run of a pipeline ends because of its attempts: once none runs, as the last one that failed.

Attempts may run beside each other. That a pipeline ended well is `finalize`'s to say: more attempts may follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mimo_vl.tracking.runs import TAG_ATTEMPT, TAG_STAGE, AttemptRun, end_run, get_run, run_tags
from mimo_vl.tracking.tracker import RunStatus

# Of one answer of runs/search; a pipeline has a few dozen attempts.
_MAX_RUNS = 1000


@dataclass(frozen=True, kw_only=True)
class KnownAttempt:
    """What the server knows of an attempt's run."""

    stage: str
    number: int
    status: str
    end_time_ms: int = 0


def ended_as(attempts: Iterable[KnownAttempt]) -> RunStatus | None:
    """By each stage's newest attempt: how the pipeline ended. None = it goes on, or ended well."""
    newest: dict[str, KnownAttempt] = {}
    for attempt in sorted(attempts, key=lambda a: a.number):
        newest[attempt.stage] = attempt
    ended = {RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED}
    if any(a.status not in ended for a in newest.values()):
        return None
    failed = [a for a in newest.values() if a.status != RunStatus.FINISHED]
    return RunStatus(max(failed, key=lambda a: a.end_time_ms).status) if failed else None


def end_parent(run: AttemptRun, time_ms: int) -> None:
    """After an attempt has ended. A parent that has ended stays as it is: `finalize` knows better."""
    parent = get_run(run.rest, run.parent_run_id)
    if parent is None or parent["info"]["status"] != "RUNNING":
        return
    body = {
        "experiment_ids": [parent["info"]["experiment_id"]],
        "filter": f"tags.mlflow.parentRunId = '{run.parent_run_id}'",
        "max_results": _MAX_RUNS,
    }
    status = ended_as(_known(found) for found in run.rest.post("runs/search", body).get("runs", []))
    if status is not None:
        end_run(run.rest, run.parent_run_id, status, time_ms)


def _known(found: dict[str, Any]) -> KnownAttempt:
    tags, info = run_tags(found), found["info"]
    return KnownAttempt(
        stage=tags.get(TAG_STAGE, ""),
        number=int(tags.get(TAG_ATTEMPT, "0")),
        status=info["status"],
        end_time_ms=int(info.get("end_time", 0)),
    )
