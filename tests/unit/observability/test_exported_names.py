"""From a logged name to what a scraper reads."""

from __future__ import annotations

import pytest

from mimo_vl.observability import metrics
from mimo_vl.observability.metrics import Kind, Metric, declared
from mimo_vl.observability.prometheus import PrometheusExporter, run_samples


@pytest.mark.parametrize(
    ("logged", "metric", "part"),
    [
        ("train/loss", metrics.LOSS, ""),
        ("train/loss_by_type/ocr", metrics.LOSS_BY_TYPE, "ocr"),
        # The training loop's own words.
        ("loss", metrics.LOSS, ""),
        ("loss_ocr", metrics.LOSS_BY_TYPE, "ocr"),
        ("lr_language-no-decay", metrics.LEARNING_RATE, "language-no-decay"),
        ("tokens_per_s", metrics.TOKENS_PER_S, ""),
        # Of manifests.
        ("loss_last", metrics.LOSS, ""),
        ("reward_last", metrics.REWARD, ""),
        # A part may have parts.
        ("evaluation/score/sft/grounding", metrics.EVALUATION_SCORE, "sft/grounding"),
    ],
)
def test_a_logged_name_finds_its_metric(logged: str, metric: Metric, part: str) -> None:
    assert declared(logged) == (metric, part)


@pytest.mark.parametrize("logged", ["loss_first", "heldout_pairs", "train/lossy", "steps", "evaluation/nothing/sft"])
def test_a_name_of_no_metric_is_none(logged: str) -> None:
    assert declared(logged) is None


def test_queries_ask_for_the_names_that_the_client_makes() -> None:
    assert metrics.RECONCILES.sample_names == ("mimo_operator_reconciles_total",)
    assert metrics.SCORE_LATENCY.sample_names == (
        "mimo_rewards_latency_seconds_bucket",
        "mimo_rewards_latency_seconds_sum",
        "mimo_rewards_latency_seconds_count",
    )
    assert metrics.LOSS.sample_names == ("mimo_train_loss",)


def test_a_declared_name_goes_over_a_plain_one_of_the_same_metric() -> None:
    values = {"train/loss": 1.5, "loss_last": 2.0, "loss": 3.0}
    [sample] = run_samples({"stage": "s"}, values)
    assert (sample.value, sample.labels) == (1.5, {"stage": "s", "part": ""})


def test_what_is_sampled_is_asked_at_each_scrape() -> None:
    sizes = iter([1.0, 2.0])
    exporter = PrometheusExporter({"stage": "s"}, sampled=lambda: {metrics.PROCESS_PSS_BYTES.name: next(sizes)})
    assert "mimo_system_process_pss_bytes" in exporter.text()
    assert 'mimo_system_process_pss_bytes{part="",stage="s"} 2.0' in exporter.text().splitlines()


def test_metrics_of_other_exporters_are_refused_in_a_stage() -> None:
    with pytest.raises(KeyError, match="operator/leader"):
        PrometheusExporter().set_values({metrics.IS_LEADER.name: 1.0})


def test_last_values_have_their_full_names() -> None:
    exporter = PrometheusExporter()
    exporter.set_values({"loss": 2.0, "train/loss_by_type/ocr": 3.0})
    assert exporter.last_values() == {"train/loss": 2.0, "train/loss_by_type/ocr": 3.0}


def test_counters_and_histograms_say_so() -> None:
    assert metrics.SCORE_RESULTS.kind is Kind.COUNTER
    assert metrics.RECONCILE_TIME.kind is Kind.HISTOGRAM
    assert metrics.LOSS.kind is Kind.GAUGE
