"""Ports of exporters: taken ones are passed over, and a server that is away hides nothing."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest
import urllib3
from prometheus_client import CollectorRegistry

from jobs.stage_metrics import StageMetrics
from mimo_vl.free_port import free_port
from mimo_vl.observability import metrics
from mimo_vl.observability.forwarded import ForwardedMetrics
from mimo_vl.observability.prometheus import Instruments, PrometheusExporter, serve_metrics

pytestmark = [pytest.mark.integration]

_LABELS = {"mimo_namespace": "team", "mimo_pipeline": "p", "stage": "morl", "attempt": "1"}


@pytest.fixture
def first_port() -> int:
    return free_port(3)


@pytest.fixture
def taken(first_port: int) -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", first_port))
        other.listen()
        yield first_port


def _get(port: int) -> str:
    return urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", timeout=10.0).data.decode()


def test_a_taken_port_is_passed_over(taken: int) -> None:
    exporter = PrometheusExporter({"stage": "s"})
    exporter.set_values({"train/loss": 2.0})
    assert serve_metrics(exporter.registry, range(taken, taken + 2)) == taken + 1
    assert 'mimo_train_loss{part="",stage="s"} 2.0' in _get(taken + 1)


def test_without_a_free_port_the_process_goes_on_and_says_so(taken: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert serve_metrics(PrometheusExporter().registry, [taken]) is None
    assert f"ports [{taken}] are taken" in caplog.text


def test_metrics_of_a_server_of_the_stage_come_with_its_labels(first_port: int) -> None:
    served = CollectorRegistry()
    Instruments(served).counter(metrics.SCORE_NULLS).labels("math").inc(3)
    serve_metrics(served, [first_port])
    shown = StageMetrics(labels=_LABELS)
    shown.forward(f"http://127.0.0.1:{first_port}/metrics")
    labels = ",".join(f'{name}="{value}"' for name, value in sorted({**_LABELS, "task": "math"}.items()))
    assert f"mimo_rewards_nulls_total{{{labels}}} 3.0" in shown.exporter.text().splitlines()


def test_a_server_that_is_away_hides_nothing_else() -> None:
    shown = StageMetrics(labels=_LABELS)
    # Nothing listens on the discard port.
    shown.forward("http://127.0.0.1:9/metrics")
    shown.record({"rl/reward": 0.5})
    text = shown.exporter.text()
    assert "mimo_rl_reward{" in text
    assert "mimo_rewards" not in text


def test_only_http_is_asked() -> None:
    with pytest.raises(ValueError, match="url: got 'file:///etc/passwd'"):
        ForwardedMetrics("file:///etc/passwd", {})
