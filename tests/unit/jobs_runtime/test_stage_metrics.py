"""What a stage shows, where, and what of it goes into the manifest."""

from __future__ import annotations

import logging
import math

import pytest

from jobs.stage_metrics import StageMetrics, measured, stage_ports
from mimo_vl.config.observability import ObservabilityConfig
from mimo_vl.errors import ConfigError
from mimo_vl.tracking import NullTracker

_LABELS = {"mimo_namespace": "local", "mimo_pipeline": "p", "stage": "curate", "attempt": "1"}


class _Tracker(NullTracker):
    def __init__(self) -> None:
        self.logged: list[tuple[dict[str, float], int]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:  # type: ignore[override]
        self.logged.append((metrics, step))


def test_what_is_tracked_is_shown_under_the_labels_of_the_run() -> None:
    shown, tracker = StageMetrics(labels=_LABELS), _Tracker()
    measured(tracker, shown).log_metrics({"loss": 2.0, "loss_ocr": 3.0}, 7)
    assert tracker.logged == [({"loss": 2.0, "loss_ocr": 3.0}, 7)]
    lines = shown.exporter.text().splitlines()
    labels = 'attempt="1",mimo_namespace="local",mimo_pipeline="p",part="{}",stage="curate"'
    assert f"mimo_train_loss{{{labels.format('')}}} 2.0" in lines
    assert f"mimo_train_loss_by_type{{{labels.format('ocr')}}} 3.0" in lines


def test_everything_else_of_a_tracker_is_its_own() -> None:
    assert measured(_Tracker(), StageMetrics()).run_id == ""


def test_a_name_without_a_metric_is_told_once_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    shown = StageMetrics(labels=_LABELS)
    with caplog.at_level(logging.WARNING):
        shown.record({"zebra": 1.0, "loss": 1.0})
        shown.record({"zebra": 2.0})
    assert [r.message for r in caplog.records if "zebra" in r.message] == [
        "metric zebra is not shown: declare it in mimo_vl/observability/metrics.py"
    ]
    assert "zebra" not in shown.exporter.text()


def test_the_manifest_gets_what_was_made_not_how_the_process_did() -> None:
    shown = StageMetrics(labels=_LABELS)
    shown.record({"loss": 2.0, "grad_norm": math.nan, "data/samples_kept/ocr": 5.0})
    shown.progress(3, 10)
    assert shown.for_manifest() == {"data/samples_kept/ocr": 5.0, "train/loss": 2.0}
    assert 'mimo_stage_step{attempt="1",mimo_namespace="local"' in shown.exporter.text()


def test_each_node_shows_its_own_cpu_and_memory() -> None:
    shown = StageMetrics(labels=_LABELS, node_rank=3)
    text = shown.exporter.text()
    for name in ("cpu_utilization_percentage", "system_memory_usage_percentage"):
        [line] = [x for x in text.splitlines() if x.startswith(f"mimo_system_{name}{{")]
        assert 'part="node-3"' in line
        assert 0.0 <= float(line.split()[-1]) <= 100.0
    assert "mimo_system_process_pss_bytes{" in text


def test_a_pod_has_its_port_for_itself_and_one_machine_a_few() -> None:
    assert list(stage_ports(ObservabilityConfig(), {})) == []
    assert list(stage_ports(ObservabilityConfig(metrics_port=9400), {})) == list(range(9401, 9410))
    assert list(stage_ports(ObservabilityConfig(metrics_port=9400), {"MIMO_METRICS_PORT": "9095"})) == [9095]


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="MIMO_METRICS_PORT: got 'x', wanted a port number"):
        stage_ports(ObservabilityConfig(), {"MIMO_METRICS_PORT": "x"})
    with pytest.raises(ValueError, match="metrics_port: got 65530"):
        ObservabilityConfig(metrics_port=65_530)
