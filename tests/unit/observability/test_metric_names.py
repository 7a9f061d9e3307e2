from __future__ import annotations

import re

import pytest

from mimo_vl.observability import metrics
from mimo_vl.observability.prometheus import PrometheusExporter


def test_each_name_is_declared_once_with_unit_and_help() -> None:
    declared = [value for value in vars(metrics).values() if isinstance(value, metrics.Metric)]
    assert len(declared) > 20
    assert len({m.name for m in declared}) == len(declared)
    assert len({m.prometheus_name for m in declared}) == len(declared)
    for metric in declared:
        assert re.fullmatch(r"[a-z_]+/[a-z_0-9]+", metric.name), metric
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric.prometheus_name), metric
        assert metric.unit, metric
        assert len(metric.help) > 10, metric


def test_a_unit_is_part_of_the_scraped_name() -> None:
    assert metrics.ROLLOUT_TIME.prometheus_name == "mimo_rl_rollout_time_seconds"
    assert metrics.LOSS.prometheus_name == "mimo_train_loss"


def test_the_scraper_sees_the_last_value_and_the_part_as_label() -> None:
    exporter = PrometheusExporter({"stage": "morl"})
    exporter.set_values({metrics.LOSS.name: 2.0, metrics.LOSS_BY_TYPE.of("ocr"): 3.0})
    exporter.set_values({metrics.LOSS.name: 1.5})
    lines = exporter.text().splitlines()
    assert 'mimo_train_loss{part="",stage="morl"} 1.5' in lines
    assert 'mimo_train_loss_by_type{part="ocr",stage="morl"} 3.0' in lines


def test_an_undeclared_name_is_refused() -> None:
    with pytest.raises(KeyError, match="train/lossy"):
        PrometheusExporter().set_values({"train/lossy": 1.0})
