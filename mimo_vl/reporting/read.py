"""From the store of a run, and what its controller knows, to what a report shows.

Without a controller (the stage that writes a report, or a pipeline that was deleted) the store alone speaks: stages are
those that left something, and depend on what their outputs were made from.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from mimo_vl.errors import InputError, MimoError
from mimo_vl.evaluation.collect import RunMaterial, StageOutput, collect, open_store_output
from mimo_vl.reporting.attempts import attempts_of_run, read_attempt, reused_attempt
from mimo_vl.reporting.curves import AttemptMetrics, StageCurves, stage_curves
from mimo_vl.reporting.data_cards import REPORT_FILE, DataCard, data_cards
from mimo_vl.reporting.lineage import ancestry
from mimo_vl.reporting.run import Attempt, AttemptState, Environment, KnownStage, Run, Stage, WatchedTimes
from mimo_vl.schema.manifest import InputRef, Manifest
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import ENVIRONMENT, JOURNAL_DIR, attempt_prefix, join, run_prefix
from mimo_vl.tracking.journal import read_journal
from mimo_vl.vocabulary import StageName

logger = logging.getLogger(__name__)

OpenStore = Callable[[str], ArtifactStore]
"""URI of an artifact -> a store whose root it is."""

Watched = Callable[[str, str, int], WatchedTimes]
"""Run id, stage and attempt -> what a controller wrote down of its times."""


def nobody_watched(run_id: str, stage: str, attempt: int) -> WatchedTimes:  # noqa: ARG001 - the signature of Watched
    """Then the times that an attempt left of itself are all there is."""
    return WatchedTimes()


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a run lies, and what is known of it from elsewhere."""

    store: ArtifactStore
    run_id: str
    open_store: OpenStore
    known: Sequence[KnownStage] = ()
    title: str = ""
    phase: str = ""
    message: str = ""
    profile: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    tracking_url: str = ""
    environment: Environment = field(default_factory=Environment)
    watched: Watched = nobody_watched


@dataclass(frozen=True, kw_only=True)
class _StageRead:
    stage: Stage
    curves: StageCurves | None
    machines: Mapping[str, Mapping[str, Any]]


def read_run(source: Source, *, with_metrics: bool = True) -> Run:
    """Every record that is damaged is left out with a warning. `with_metrics`: read the journals too."""
    keys = {info.key for info in source.store.list(run_prefix(source.run_id) + "/")}
    numbers = attempts_of_run(keys, source.run_id)
    known = list(source.known) or [KnownStage(name=name) for name in _in_order(numbers)]
    found = [_read_stage(source, stage, keys, numbers.get(stage.name, []), with_metrics) for stage in known]
    stages = [entry.stage for entry in found]
    stages = [_completed(stage, {s.name for s in stages}) for stage in stages]
    outputs = {s.name: s.output for s in stages if s.output is not None}
    machines = {name: record for entry in found for name, record in entry.machines.items()}
    return Run(
        title=source.title or source.run_id,
        run_id=source.run_id,
        phase=source.phase,
        message=source.message,
        profile=source.profile,
        started_at=source.started_at,
        finished_at=source.finished_at,
        tracking_url=source.tracking_url,
        stages=stages,
        material=_material(outputs),
        curves=[entry.curves for entry in found if entry.curves is not None],
        artifacts=list(ancestry({name: o.uri for name, o in outputs.items()}, _manifest_reader(source)).values()),
        data_cards=[card for name, output in outputs.items() for card in _cards(name, output)],
        environment=replace(source.environment, machines=machines),
    )


def _read_stage(
    source: Source, known: KnownStage, keys: Collection[str], numbers: Sequence[int], with_metrics: bool
) -> _StageRead:
    if known.reused and known.output_uri:
        return _reused(source, known, with_metrics)
    attempts: list[Attempt] = []
    metrics: list[AttemptMetrics] = []
    outputs: dict[int, Manifest] = {}
    machines = {}
    for number in numbers:
        attempt, manifest = read_attempt(source.store, keys, source.run_id, known, number)
        prefix = attempt_prefix(source.run_id, known.name, number)
        if manifest is not None:
            outputs[number] = manifest
        if with_metrics:
            metrics.append(_metrics(source.store, prefix))
            attempt = _ended_by_its_metrics(attempt, metrics[-1])
        if join(prefix, ENVIRONMENT) in keys:
            record, _ = source.store.get_bytes(join(prefix, ENVIRONMENT))
            machines[f"{known.name}, attempt {number}"] = json.loads(record)
        attempts.append(_as_watched(attempt, source.watched(source.run_id, known.name, number)))
    output = None
    if outputs:
        number = known.attempt if known.attempt in outputs else max(outputs)
        prefix = attempt_prefix(source.run_id, known.name, number)
        output = open_store_output(source.store, prefix, outputs[number])
    stage = Stage(known=known, attempts=attempts, output=output, uri=output.uri if output else "")
    return _StageRead(stage=stage, curves=stage_curves(known.name, metrics), machines=machines)


def _reused(source: Source, known: KnownStage, with_metrics: bool) -> _StageRead:
    """Another run made it: its one attempt lies where the output lies."""
    try:
        store = source.open_store(known.output_uri)
        output = open_store_output(store, "", read_manifest(store, ""))
    except MimoError as error:
        logger.warning("stage %s is missing in the report: %s", known.name, error)
        return _StageRead(stage=Stage(known=known, uri=known.output_uri), curves=None, machines={})
    made = output.manifest
    attempt = reused_attempt(store, made, known.output_uri)
    attempt = _as_watched(attempt, source.watched(made.run_id, made.stage, made.attempt))
    stage = Stage(known=known, attempts=[attempt], output=output, uri=known.output_uri)
    curves = stage_curves(known.name, [_metrics(store, "")]) if with_metrics else None
    return _StageRead(stage=stage, curves=curves, machines={})


def _completed(stage: Stage, names: Collection[str]) -> Stage:
    """What no controller said about it: its state, and what it depends on, as the store shows them."""
    known = stage.known
    if not known.state:
        found = AttemptState.SUCCEEDED if stage.output else stage.attempts[-1].state if stage.attempts else "Pending"
        known = replace(known, state=str(found))
    if not known.depends_on and stage.output:
        known = replace(known, depends_on=sorted(set(names) & set(stage.output.manifest.inputs)))
    return replace(stage, known=known)


def _metrics(store: ArtifactStore, prefix: str) -> AttemptMetrics:
    """Of all nodes of the attempt: the first one's journal, and one folder in it for each other node."""
    journal = join(prefix, JOURNAL_DIR)
    chunks = [info.key for info in store.list(f"{journal}/") if info.key.endswith(".jsonl")]
    metrics = AttemptMetrics()
    for folder in sorted({key.rpartition("/")[0] for key in chunks}):
        try:
            for entry in read_journal(store, folder):
                metrics.add(entry)
        except (InputError, ValueError) as error:
            logger.warning("metrics after this are missing in the report: %s: %s", store.uri(folder), error)
    return metrics


def _as_watched(attempt: Attempt, times: WatchedTimes) -> Attempt:
    """Processes start before an attempt can leave a record, and end after its last one."""
    return replace(
        attempt,
        started_at=times.created_at or attempt.started_at,
        finished_at=times.ended_at or attempt.finished_at,
    )


def _ended_by_its_metrics(attempt: Attempt, metrics: AttemptMetrics) -> Attempt:
    """An attempt that was killed ended, as far as anybody knows, with the last thing that it measured."""
    if attempt.finished_at is not None or attempt.state == AttemptState.RUNNING or not metrics.last_time_ms:
        return attempt
    return replace(attempt, finished_at=datetime.fromtimestamp(metrics.last_time_ms / 1000, UTC))


def _material(outputs: Mapping[str, StageOutput]) -> RunMaterial:
    """Without the evaluation if it is damaged: the rest of the report is still wanted."""
    try:
        return collect(outputs)
    except (InputError, ValueError) as error:
        logger.warning("the evaluation is missing in the report: %s", error)
        return collect({name: output for name, output in outputs.items() if name != StageName.EVALUATE})


def _cards(stage: str, output: StageOutput) -> list[DataCard]:
    try:
        data = output.read(REPORT_FILE)
        return data_cards(stage, data) if data else []
    except (InputError, ValueError) as error:
        logger.warning("the data of stage %s is missing in the report: %s", stage, error)
        return []


def _manifest_reader(source: Source) -> Callable[[InputRef], Manifest]:
    """An artifact of this store is read through it: the store may have another address than when it was written."""

    def read(ref: InputRef) -> Manifest:
        start = ref.uri.rfind(f"/{run_prefix(source.run_id)}/")
        if start >= 0:
            return read_manifest(source.store, ref.uri[start + 1 :], ref.digest)
        return read_manifest(source.open_store(ref.uri), "", ref.digest)

    return read


def _in_order(names: Collection[str]) -> list[str]:
    order = {str(name): position for position, name in enumerate(StageName)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))
