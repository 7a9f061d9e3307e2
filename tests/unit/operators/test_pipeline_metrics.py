"""What a controller shows of its pipelines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.api import LastFailure, MimoPipelineStatus, Phase, StageProgress, StageState, StageStatus
from operators.mimo_pipeline.last_values import ManifestValues
from operators.mimo_pipeline.operator_metrics import OperatorMetrics
from operators.mimo_pipeline.pipeline_metrics import PipelineMetrics, ShownPipeline

_T0 = datetime(2026, 1, 1, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return _T0 + timedelta(seconds=seconds)


def _status(*stages: StageStatus, phase: Phase = Phase.RUNNING, finished_s: float | None = None) -> MimoPipelineStatus:
    return MimoPipelineStatus(phase=phase, stages=stages, finished_at=None if finished_s is None else _at(finished_s))


def _shown(status: MimoPipelineStatus, seen_s: float = 0.0, **more: object) -> ShownPipeline:
    return ShownPipeline(namespace="ml", name="p", status=status, seen_at=_at(seen_s), **more)  # type: ignore[arg-type]


def _registry(now_s: float = 0.0, price: float = 0.0) -> tuple[CollectorRegistry, PipelineMetrics]:
    registry, metrics = CollectorRegistry(), PipelineMetrics(gpu_hour_price=price, now=lambda: _at(now_s))
    registry.register(metrics)
    return registry, metrics


_STAGE = {"mimo_namespace": "ml", "mimo_pipeline": "p", "stage": "morl"}


def test_a_running_stage_has_a_time_and_gpu_time_until_now() -> None:
    registry, metrics = _registry(now_s=3600.0, price=2.5)
    stage = StageStatus(name="morl", state=StageState.RUNNING, attempt=2, failures=1, started_at=_at(0))
    # The first attempt ran for 600 s, the second has for 1000 s.
    stage = stage.model_copy(update={"running_seconds": 600.0, "running_since": _at(2600)})
    metrics.update(_shown(_status(stage), num_gpus={"morl": 8}))
    assert registry.get_sample_value("mimo_pipeline_stage_time_seconds", _STAGE) == 3600.0
    assert registry.get_sample_value("mimo_pipeline_gpu_time_seconds", _STAGE) == 8 * 1600.0
    assert registry.get_sample_value("mimo_pipeline_stage_attempt", _STAGE) == 2
    assert registry.get_sample_value("mimo_pipeline_stage_failures", _STAGE) == 1
    assert registry.get_sample_value("mimo_pipeline_stage_state", {**_STAGE, "state": "Running", "reason": ""}) == 1
    assert registry.get_sample_value("mimo_pipeline_gpu_hour_price") == 2.5


def test_an_ended_stage_stands_still_and_a_reused_one_took_nothing() -> None:
    registry, metrics = _registry(now_s=9999.0)
    ended = StageStatus(name="morl", state=StageState.SUCCEEDED, started_at=_at(0), finished_at=_at(60))
    reused = StageStatus(name="curate", state=StageState.SUCCEEDED, reused=True, started_at=_at(0), finished_at=_at(60))
    metrics.update(_shown(_status(ended, reused)))
    assert registry.get_sample_value("mimo_pipeline_stage_time_seconds", _STAGE) == 60.0
    assert registry.get_sample_value("mimo_pipeline_stage_time_seconds", {**_STAGE, "stage": "curate"}) == 0.0


def test_time_in_a_queue_is_counted() -> None:
    registry, metrics = _registry(now_s=100.0)
    queued = StageStatus(name="morl", state=StageState.QUEUED, attempt=1, started_at=_at(0))
    running = queued.model_copy(update={"state": StageState.RUNNING})
    for state, seen_s in ((queued, 0.0), (queued, 10.0), (running, 40.0), (running, 90.0)):
        metrics.update(_shown(_status(state), seen_s, num_gpus={"morl": 1}))
    assert registry.get_sample_value("mimo_pipeline_stage_queue_time_seconds", _STAGE) == 40.0


def test_time_in_which_no_pod_runs_costs_no_gpu_time_whoever_looks() -> None:
    """A new controller has seen neither the queue nor the first attempt."""
    for state in (
        StageState.QUEUED, StageState.RETRYING, StageState.SUSPENDED, StageState.AWAITING_APPROVAL, StageState.FAILED
    ):  # fmt: skip
        registry, metrics = _registry(now_s=9999.0)
        stage = StageStatus(name="morl", state=state, attempt=1, started_at=_at(0), running_seconds=30.0)
        metrics.update(_shown(_status(stage), num_gpus={"morl": 2}))
        assert registry.get_sample_value("mimo_pipeline_gpu_time_seconds", _STAGE) == 60.0


def test_why_an_attempt_failed_is_shown_while_the_next_one_runs_and_after_its_success() -> None:
    failure = LastFailure(attempt=1, reason="OutOfMemory", message="exit code 137: memory ran out", exit_code=137)
    labels = {**_STAGE, "attempt": "1", "reason": "OutOfMemory", "message": "exit code 137: memory ran out"}
    for state in (StageState.RUNNING, StageState.SUCCEEDED):
        registry, metrics = _registry()
        stage = StageStatus(name="morl", state=state, attempt=2, last_failure=failure)
        metrics.update(_shown(_status(stage, StageStatus(name="curate"))))
        [sample] = [s for family in registry.collect() if "last_failure" in family.name for s in family.samples]
        assert (sample.name, sample.labels, sample.value) == ("mimo_pipeline_stage_last_failure", labels, 1)


def test_a_long_message_of_a_failure_is_cut() -> None:
    registry, metrics = _registry()
    stage = StageStatus(name="morl", last_failure=LastFailure(attempt=1, reason="Failed", message="x" * 1000))
    metrics.update(_shown(_status(stage)))
    [sample] = [s for family in registry.collect() if "last_failure" in family.name for s in family.samples]
    assert sample.labels["message"] == "x" * 199 + "…"


def test_an_ended_stage_leaves_its_last_values_until_the_ttl() -> None:
    stage = StageStatus(name="morl", state=StageState.SUCCEEDED, attempt=1, output_uri="file:///x")
    status = _status(stage, phase=Phase.SUCCEEDED, finished_s=100.0)
    left = {"morl": (3, {"rl/reward": 0.5, "rl/reward_by_family/math": 0.25, "steps": 3.0, "reward_last": 0.9})}
    labels = {**_STAGE, "attempt": "3", "part": ""}
    for now_s, reward in ((150.0, 0.5), (161.0, None)):
        registry, metrics = _registry(now_s=now_s)
        metrics.update(_shown(status, last_values=left, ttl_s=60))
        assert registry.get_sample_value("mimo_rl_reward", labels) == reward
        # The state stays.
        assert (
            registry.get_sample_value("mimo_pipeline_stage_state", {**_STAGE, "state": "Succeeded", "reason": ""}) == 1
        )


def test_a_failed_stage_leaves_what_it_last_told() -> None:
    registry, metrics = _registry()
    progress = StageProgress(step=5, total=10, metrics={"loss": 4.0, "unknown": 1.0})
    stage = StageStatus(name="morl", state=StageState.FAILED, attempt=2, progress=progress, reason="OutOfMemory")
    metrics.update(_shown(_status(stage, phase=Phase.FAILED)))
    state = {**_STAGE, "state": "Failed", "reason": "OutOfMemory"}
    assert registry.get_sample_value("mimo_pipeline_stage_state", state) == 1
    assert registry.get_sample_value("mimo_train_loss", {**_STAGE, "attempt": "2", "part": ""}) == 4.0


def test_a_pipeline_that_is_gone_is_shown_no_more() -> None:
    metrics = OperatorMetrics()
    metrics.update(_shown(_status(StageStatus(name="morl"))))
    assert metrics.registry.get_sample_value("mimo_operator_pipelines", {"phase": "Running"}) == 1
    metrics.remove("ml", "p")
    assert metrics.registry.get_sample_value("mimo_operator_pipelines", {"phase": "Running"}) == 0
    assert metrics.registry.get_sample_value("mimo_pipeline_stage_attempt", _STAGE) is None


def test_a_manifest_is_read_once_it_is_there_and_kept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    values = ManifestValues(store)
    done = StageStatus(name="morl", state=StageState.SUCCEEDED, attempt=2, output_uri=store.uri("runs/morl/attempt-2"))
    running = StageStatus(name="curate", state=StageState.RUNNING, attempt=1)
    assert values.of([done, running]) == {}
    (tmp_path / "out").mkdir()
    publish_directory(
        store,
        "runs/morl/attempt-2",
        tmp_path / "out",
        stage="morl",
        attempt=2,
        run_id="r",
        stage_key="k",
        metrics={"rl/reward": 0.5},
    )
    assert values.of([done, running]) == {"morl": (2, {"rl/reward": 0.5})}
    (tmp_path / "store/runs/morl/attempt-2/manifest.json").unlink()
    assert values.of([done, running]) == {"morl": (2, {"rl/reward": 0.5})}


def test_an_output_in_another_store_is_left_out(tmp_path: Path) -> None:
    elsewhere = StageStatus(name="morl", state=StageState.SUCCEEDED, output_uri="s3://other/runs/morl/attempt-1")
    assert ManifestValues(LocalStore(tmp_path)).of([elsewhere]) == {}
