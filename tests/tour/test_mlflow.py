"""Does MLflow hold all that the stages of a real run have to show: plots, tables with pictures, data cards, models?"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES
from tests.browser import Browser
from tests.registered_model import answer_by_mlflow, answer_by_transformers, asking, scores_by_mlflow
from tests.tour.conftest import Run
from tests.tour.looking import take_picture

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [pytest.mark.tour, pytest.mark.timeout(600)]

_REGISTERED = "mimo-vl-tiny"
_QUESTION = "How many circles are there?"
_OF_TRAINING = ("grad_norm", "loss", "loss_by_data_type")
# What each stage draws of its output.
PLOTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(map(str, PRETRAINING_STAGES), (*_OF_TRAINING, "packing_efficiency")),
    **dict.fromkeys(map(str, REWARD_MODEL_STAGES), _OF_TRAINING),
    "curate-rl": ("pass_rates", "useful_prompts"),
    "morl": ("mismatch", "response_length", "rewards_by_family", "truncated", "valid_groups"),
    "evaluate": ("scores",),
}
# The data that each stage reads.
DATA_CARDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(map(str, (*PRETRAINING_STAGES, "curate-rl", "evaluate")), ("curate",)),
    **dict.fromkeys(map(str, REWARD_MODEL_STAGES), ("curate-rl",)),
    "morl": ("curate-rl", "curate"),
}


class Artifacts:
    """Of the attempts that made the run's outputs."""

    def __init__(self, client: MlflowClient, runs: dict[str, str], folder: Path) -> None:
        self._client = client
        self._runs = runs
        self._folder = folder
        self.paths = cache(self._paths)

    def _paths(self, stage: str) -> list[str]:
        """All files, sorted."""
        found: list[str] = []
        folders = [""]
        while folders:
            for entry in self._client.list_artifacts(self._runs[stage], folders.pop() or None):
                (folders if entry.is_dir else found).append(entry.path)
        return sorted(found)

    def named(self, stage: str, pattern: str) -> tuple[str, ...]:
        """Names of the files whose path matches, where the pattern has its group."""
        return tuple(match[1] for path in self.paths(stage) if (match := re.fullmatch(pattern, path)))

    def read(self, stage: str, path: str) -> bytes:
        folder = self._folder / stage
        folder.mkdir(exist_ok=True)
        return Path(self._client.download_artifacts(self._runs[stage], path, str(folder))).read_bytes()

    def table(self, stage: str, path: str) -> list[dict[str, Any]]:
        found = json.loads(self.read(stage, path))
        return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]


@pytest.fixture(scope="module")
def artifacts(run: Run, mlflow: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artifacts]:
    from mlflow import MlflowClient

    server = mlflow.split("/#/")[0]
    with asking(server):
        yield Artifacts(MlflowClient(server), run.tracked_stages, tmp_path_factory.mktemp("artifacts"))


@pytest.mark.parametrize("stage", PLOTS)
def test_every_plot_of_a_stage_is_there_and_shows_something(artifacts: Artifacts, stage: str) -> None:
    assert artifacts.named(stage, r"plots/(\w+)\.svg") == PLOTS[stage]
    for name in PLOTS[stage]:
        drawn = artifacts.read(stage, f"plots/{name}.svg").decode()
        # A curve, or a bar; the white background has no place.
        assert re.search("<polyline |<rect x=", drawn), f"{name} of {stage} is empty"


@pytest.mark.parametrize("stage", DATA_CARDS)
def test_a_stage_has_the_cards_of_the_data_that_it_read(artifacts: Artifacts, stage: str) -> None:
    assert artifacts.named(stage, r"data_cards/([\w-]+)\.md") == DATA_CARDS[stage]
    for name in DATA_CARDS[stage]:
        assert "sha256:" in artifacts.read(stage, f"data_cards/{name}.md").decode()


def test_the_plots_name_every_data_type_and_every_family(artifacts: Artifacts) -> None:
    types = artifacts.read("multimodal-pretraining", "plots/loss_by_data_type.svg").decode()
    assert [t for t in ("caption", "grounding", "ocr", "text", "video") if f">{t}<" not in types] == []
    rewards = artifacts.read("morl", "plots/rewards_by_family.svg").decode()
    families = {row["family"] for row in artifacts.table("morl", "rollouts.json")}
    assert len(families) > 2
    assert [f for f in families if f">{f}<" not in rewards] == []


def test_the_table_of_rollouts_has_their_rewards(artifacts: Artifacts) -> None:
    rows = artifacts.table("morl", "rollouts.json")
    assert len(rows) > 10
    assert {row["status"] for row in rows} <= {"scored", "unparsable"}
    assert all(0.0 <= row["reward"] <= 1.0 and row["reward_name"] for row in rows)
    assert {row["step"] for row in rows} == set(range(4))


def test_every_prediction_has_its_picture(artifacts: Artifacts) -> None:
    rows = artifacts.table("evaluate", "predictions.json")
    assert len(rows) > 5
    shown = [row["picture"]["filepath"] for row in rows]
    assert sorted(shown) == [path for path in artifacts.paths("evaluate") if path.startswith("table_images/")]
    assert artifacts.read("evaluate", shown[0]).startswith(b"\x89PNG")


def test_the_browser_draws_a_plot_and_the_pictures_of_predictions(run: Run, mlflow: str, browser: Browser) -> None:
    runs = mlflow.split("/runs/")[0] + "/runs"
    page = browser.open(f"{runs}/{run.tracked_stages['morl']}/artifacts/plots/rewards_by_family.svg")
    # As wide as the drawing: it was understood.
    page.wait_for("[...document.images].some(i => i.src.startsWith('blob:') && i.naturalWidth === 720)")
    take_picture(page, "mlflow-plot")
    page = browser.open(f"{runs}/{run.tracked_stages['evaluate']}/artifacts/predictions.json")
    page.wait_for_text("Locate the digit")
    page.wait_for("[...document.images].filter(i => i.complete && i.naturalWidth >= 28).length > 3")
    take_picture(page, "mlflow-predictions")


def test_the_registered_model_answers_by_its_alias_and_as_a_folder(
    run: Run, mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MIMO_STORE", run.folder.store_path.as_uri())
    for alias, stage in (("rl", "morl"), ("sft", "long-context-sft")):
        with asking(mlflow.split("/#/")[0]):
            version = MlflowClient().get_model_version_by_alias(_REGISTERED, alias)
            answer = answer_by_mlflow(f"models:/{_REGISTERED}@{alias}", _QUESTION)
        assert version.tags["mimo.digest"] == run.digest(stage)
        assert answer.strip()
        folder = Path(unquote(urlsplit(version.tags["mimo.uri"]).path))
        assert answer_by_transformers(folder, _QUESTION) == answer


@pytest.mark.parametrize("kind", ["text", "multimodal"])
def test_the_registered_reward_model_scores_by_its_alias(
    run: Run, mlflow: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MIMO_STORE", run.folder.store_path.as_uri())
    with asking(mlflow.split("/#/")[0]):
        version = MlflowClient().get_model_version_by_alias(_REGISTERED, f"reward-{kind}")
        scores = scores_by_mlflow(f"models:/{_REGISTERED}@reward-{kind}", _QUESTION, ["Three circles.", "Three three"])
    assert version.tags["mimo.digest"] == run.digest(f"reward-model-{kind}")
    assert all(map(math.isfinite, scores))
    assert scores[0] != scores[1]
