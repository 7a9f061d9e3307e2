"""What a person sees in MLflow's own pages: the list of runs, a run's charts, its artifacts, the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from jobs import finalize
from jobs.stage_results import PREDICTIONS, ROLLOUTS
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.vocabulary import StageName
from tests.browser import Browser, Page, open_browser

from .conftest import Server
from .tracked_pipeline import Asked, Pipeline, curate, evaluate, fail, morl, train

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@dataclass
class Seen:
    """A finished pipeline, the server that knows it, and a browser."""

    browser: Browser
    server: Server
    pipeline: Pipeline
    asked: Asked

    def open(self, path: str) -> Page:
        return self.browser.open(f"{self.server.uri}/#/{path}")

    def run_path(self, name: str, tab: str = "") -> str:
        return f"experiments/{self.asked.experiment_id}/runs/{self.asked.id(name)}{tab}"


@pytest.fixture(scope="module")
def seen(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    pipeline = Pipeline(tmp_path_factory.mktemp("pipeline"), server.uri, "eeee5555", store_folder=server.store)
    assert pipeline.run(StageName.CURATE, curate) == 0
    inputs = {"curate": pipeline.output(StageName.CURATE)}
    assert pipeline.run(StageName.LONG_CONTEXT_SFT, fail, inputs=inputs) == 2
    assert pipeline.run(StageName.LONG_CONTEXT_SFT, train, inputs=inputs, attempt=2) == 0
    inputs["long-context-sft"] = pipeline.output(StageName.LONG_CONTEXT_SFT, 2)
    for stage, main in ((StageName.MORL, morl), (StageName.EVALUATE, evaluate)):
        assert pipeline.run(stage, main, inputs=inputs) == 0
        inputs[str(stage)] = pipeline.output(stage)
    assert pipeline.run(StageName.FINALIZE, finalize.main, inputs=inputs) == 0
    with open_browser() as browser:
        yield Seen(browser, server, pipeline, Asked(server, pipeline.run_id))


def test_the_list_of_runs_shows_the_pipeline_with_its_attempts(seen: Seen) -> None:
    page = seen.open(f"experiments/{seen.asked.experiment_id}/runs")
    page.wait_for_text(seen.pipeline.run_id)
    # The pipeline and its six attempts; those are folded below it.
    page.wait_for_text(f"{len(seen.asked.runs)} matching runs")


def test_a_run_has_charts_by_steps_and_by_tokens_and_system_metrics(seen: Seen) -> None:
    page = seen.open(seen.run_path("long-context-sft-2", "/model-metrics"))
    # What the legends of the charts say.
    page.wait_for_text("long-context-sft-2 (loss)")
    page.wait_for_text("long-context-sft-2 (loss_by_tokens)")
    page = seen.open(seen.run_path("long-context-sft-2", "/system-metrics"))
    page.wait_for_text("system/process_pss")


def test_a_failed_attempt_says_so_with_its_reason_and_the_next_one_is_finished(seen: Seen) -> None:
    page = seen.open(seen.run_path("long-context-sft-1"))
    page.wait_for_text("Failed")
    page.wait_for_text("the loss is NaN at step 2")
    page = seen.open(seen.run_path("long-context-sft-2"))
    page.wait_for_text("Finished")
    page.wait_for_text("curate")


def test_plots_are_pictures_in_the_artifact_view(seen: Seen) -> None:
    page = seen.open(seen.run_path("long-context-sft-2", "/artifacts/plots/loss_by_data_type.svg"))
    page.wait_for_text("packing_efficiency.svg")
    # As wide as the drawing: it was understood.
    page.wait_for("[...document.images].some(i => i.src.startsWith('blob:') && i.naturalWidth === 720)")
    page = seen.open(seen.run_path("long-context-sft-2", "/artifacts/data_cards/curate.md"))
    page.wait_for_text("duplicate: 1")


def test_tables_show_rollouts_with_rewards_and_predictions_with_pictures(seen: Seen) -> None:
    page = seen.open(seen.run_path("morl-1", f"/artifacts/{ROLLOUTS}.json"))
    page.wait_for_text("boxed{7}")
    assert "0.75" in page.text()
    page = seen.open(seen.run_path("evaluate-1", f"/artifacts/{PREDICTIONS}.json"))
    page.wait_for_text("What number is this?")
    page.wait_for("[...document.images].some(i => i.naturalWidth === 32)")


def test_the_report_and_the_configuration_are_read_in_the_pipelines_run(seen: Seen) -> None:
    parent = seen.pipeline.run_id
    page = seen.open(seen.run_path(parent, "/artifacts/config.yaml"))
    page.wait_for_text("experiment: stages")
    page = seen.open(seen.run_path(parent, "/artifacts/report.html"))
    # Shown in a frame of its own, into which this page may not look.
    page.wait_for("document.querySelectorAll('iframe').length === 1")


def test_the_registry_shows_the_models_with_aliases_card_and_digest(seen: Seen) -> None:
    page = seen.open("models/mimo-vl-tiny")
    page.wait_for_text("sft")
    page.wait_for_text("rl")
    alias = seen.asked.rest.get("registered-models/alias", name="mimo-vl-tiny", alias="rl")["model_version"]
    page = seen.open(f"models/mimo-vl-tiny/versions/{alias['version']}")
    page.wait_for_text("mimo.digest")
    manifest = read_manifest(seen.pipeline.store, f"runs/{seen.pipeline.run_id}/morl/attempt-1")
    page.wait_for_text(manifest.content_digest)
    # The card, and the signature out of the MLmodel file in the store.
    page.wait_for_text("made from curate")
    page.wait_for_text("Inputs (2)")
