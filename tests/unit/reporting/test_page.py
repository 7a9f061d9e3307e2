"""The page: all of a run on one self-contained file, and nothing of place and time in the copy of an artifact."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mimo_vl.evaluation.collect import RunMaterial
from mimo_vl.reporting.curves import Series, StageCurves
from mimo_vl.reporting.page import render_artifact_page, render_page
from mimo_vl.reporting.read import Source, read_run
from mimo_vl.reporting.run import Environment, KnownStage, Run, Stage
from mimo_vl.reporting.stage_graph import shown_duration, stage_graph
from mimo_vl.schema.evaluation import Evaluation, FamilyComparison, MeanReward, ModelScore, Picture
from mimo_vl.storage import store_for_uri
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking.journal import mark_sent
from tests.fakes.run_store import START, RunStore, curation_report

_PNG = b"\x89PNG"


def _evaluation(response: str = "4") -> Evaluation:
    models = {
        name: ModelScore(value=value, ci=(value - 0.1, value + 0.1), n=200, method="wilson")
        for name, value in {"base": 0.1, "sft": 0.5, "rl": 0.75}.items()
    }
    family = FamilyComparison(
        name="counting", metric="accuracy", n=200, models=models, rl_minus_sft=0.25, rl_minus_sft_ci=(0.2, 0.3)
    )
    picture = Picture(
        path="pictures/counting-0.png", family="counting", model="rl", prompt="How many?", response=response,
        reference="4", score=1.0,
    )  # fmt: skip
    mean = MeanReward(sft=0.5, rl=0.75, rl_minus_sft=0.25, rl_minus_sft_ci=(0.2, 0.3))
    models_shown = ("base", "sft", "rl")
    return Evaluation(confidence=0.95, models=models_shown, families=(family,), mean_reward=mean, pictures=(picture,))


def _write(run: RunStore, response: str = "4", *, speed: float = 1.0) -> None:
    """`speed`: of the machine."""
    rates = {"tokens_per_s": 100.0 * speed, "data_wait_fraction": 0.1 / speed, "mfu": 0.2 * speed}
    losses = [(step, {"loss": 3.0 / step, "loss_ocr": 2.0 / step, **rates}) for step in (1, 2, 3)]
    prefix = run.failed("long-context-sft", 1, message="disk <full>", metrics=losses)
    mark_sent(run.store, f"{prefix}/journal", len(losses) + 1, "0123abcd4567")
    report = curation_report(**{"train-ocr": {"kept": 3, "dropped": {"too_small": 2}, "tokens": 70}})
    base = run.succeeded("curate", files={"report.json": report})
    sft = run.succeeded(
        "long-context-sft",
        2,
        inputs={"curate": base},
        results={"loss_first": 3.0, "loss_last": 1.0, "targets": 77.0, **rates},
        metrics=losses[1:],
    )
    run.succeeded(
        "reward-model-text",
        inputs={"long-context-sft": sft},
        results={"pairwise_accuracy": 0.75, "ci_low": 0.5, "ci_high": 0.9, "heldout_pairs": 20, "heldout_queries": 5},
        metrics=losses,
    )
    files = {"evaluation.json": _evaluation(response).to_json(), "pictures/counting-0.png": _PNG}
    run.succeeded("evaluate", files=files, inputs={"long-context-sft": sft})


def _read(run: RunStore, **environment: object) -> Run:
    known = [
        KnownStage(name="curate", state="Succeeded", attempt=1),
        KnownStage(name="long-context-sft", depends_on=("curate",), state="Succeeded", attempt=2),
        KnownStage(name="reward-model-text", depends_on=("long-context-sft",), state="Succeeded", attempt=1),
        KnownStage(name="evaluate", depends_on=("long-context-sft",), state="Succeeded", attempt=1),
        KnownStage(name="finalize", depends_on=("evaluate",), state="Pending"),
    ]
    found = Environment(config={"seed": 0}, code_digest="sha256:code", images={"trainer": "r/mimo:1"})
    source = Source(
        store=run.store, run_id=run.run_id, open_store=store_for_uri, known=known, title="MiMo-VL, run demo",
        phase="Running", profile="tiny", started_at=START, environment=found,
    )  # fmt: skip
    return read_run(source)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(LocalStore(tmp_path / "store"))


@pytest.fixture
def page(store: RunStore) -> str:
    _write(store)
    return render_page(_read(store), now=START)


class _Addresses(HTMLParser):
    """What a browser would load without being asked, and whether tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "src":
                self.loaded.append(value or "")
            if name == "href":
                (self.links if tag == "a" else self.loaded).append(value or "")
            if name == "id":
                self.ids.append(value or "")


def _parsed(html: str) -> _Addresses:
    parser = _Addresses()
    parser.feed(html)
    return parser


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    found = _parsed(page)
    assert [a for a in found.loaded if not a.startswith("data:image/png;base64,")] == []
    assert len(found.loaded) == 1
    assert found.tags & {"script", "link", "iframe", "object", "base", "form"} == set()
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "url(" not in page


def test_it_fits_a_phone_and_a_dark_room(page: str) -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "@media (prefers-color-scheme: dark)" in page
    assert "@media (max-width: 560px)" in page
    # Colours of drawings are those of the style sheet, which knows the dark ones.
    drawings = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert re.findall(r"#[0-9a-f]{3,6}\b(?!-)", re.sub(r'href="[^"]*"', "", drawings)) == []


def test_a_failed_and_a_succeeded_attempt_are_both_told(page: str) -> None:
    assert "disk &lt;full&gt;" in page
    assert "<full>" not in page
    row = page[page.index('id="stage-long-context-sft"') :]
    assert row.index(">Failed<") < row.index(">Succeeded<")
    graph = page[page.index('<svg class="graph"') : page.index("</svg>")]
    assert "1 ✗" in graph
    assert "2 ✓" in graph
    assert "attempt 1 Failed: RuntimeError: disk &lt;full&gt;" in graph


@pytest.mark.parametrize(
    ("section", "figure", "made_by"),
    [
        ("results", "<h2>Results", "evaluate/attempt-1"),
        ("predictions", "<h2>", "evaluate/attempt-1"),
        ("curves", "<h3>long-context-sft", "long-context-sft/attempt-2"),
        ("curves", "<h3>reward-model-text", "reward-model-text/attempt-1"),
        ("curves", "<h3>Reward models", "reward-model-text/attempt-1"),
        ("data", "<h3>curate", "curate/attempt-1"),
    ],
)
def test_every_figure_names_its_artifact_and_where_it_lies(
    page: str, store: RunStore, section: str, figure: str, made_by: str
) -> None:
    text = page[page.index(f'<section id="{section}">') :]
    text = text[: text.index("</section>")]
    assert text.count(figure) == 1
    # The first address after its heading, before the next one's.
    found = re.search(r'<a href="(file:[^"]*)"', text[text.index(figure) :])
    assert found is not None
    assert found[1] == store.store.uri(f"runs/local/demo/01234567/{made_by}")


def test_every_link_within_the_page_leads_somewhere(page: str) -> None:
    found = _parsed(page)
    anchors = {link.removeprefix("#") for link in found.links if link.startswith("#")}
    assert anchors - set(found.ids) == set()
    assert len(found.ids) == len(set(found.ids))


def test_results_data_lineage_and_environment_are_there(page: str) -> None:
    for text in ("+0.250", "0.650 – 0.850", "too_small 2", "sha256:code", "r/mimo:1", "SFT 0.500 → RL 0.750"):
        assert text in page
    assert "3.000 → <b>1.000</b>" in page


def test_what_a_model_wrote_is_text(store: RunStore) -> None:
    _write(store, response="<script>alert(1)</script>")
    html = render_page(_read(store))
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_the_copy_in_an_artifact_knows_neither_place_nor_time(tmp_path: Path) -> None:
    pages = []
    for name, uid in (("a", "01234567"), ("b", "89abcdef")):
        run = RunStore(LocalStore(tmp_path / name), f"local/demo/{uid}")
        if name == "b":
            # Everything happens an hour later.
            run._minute = 60
        _write(run, speed=1.0 if name == "a" else 2.0)
        pages.append(render_artifact_page(_read(run)))
    assert pages[0] == pages[1]
    assert [rate for rate in ("tokens_per_s", "data_wait_fraction", "mfu") if rate in pages[0]] == []
    assert "targets 77" in pages[0]
    assert str(tmp_path) not in pages[0]
    assert "node-a" not in pages[0]
    assert "Throughput" not in pages[0]
    assert "ocr" in pages[0]


@pytest.mark.parametrize("url", ["", "http://mlflow:5000/#/experiments/1/runs/parent"])
def test_a_failed_attempt_names_its_run_in_the_tracking_server(store: RunStore, url: str) -> None:
    _write(store)
    html = render_page(replace(_read(store), tracking_url=url))
    row = html[html.index('id="stage-long-context-sft"') :]
    row = row[: row.index("</tr>")]
    assert ">Failed<" in row
    assert "MLflow 0123abcd" in row
    link = '<a href="http://mlflow:5000/#/experiments/1/runs/0123abcd4567">'
    assert (link in row) == bool(url)


def test_the_page_of_a_run_tells_how_fast_it_was(page: str) -> None:
    assert "tokens_per_s 100" in page
    assert "Throughput" in page


def test_a_run_that_has_not_begun_has_a_page(store: RunStore) -> None:
    waiting = [KnownStage(name="base", state="Pending"), KnownStage(name="curate", depends_on=("base",))]
    run = read_run(Source(store=store.store, run_id=store.run_id, open_store=store_for_uri, known=waiting, title="t"))
    html = render_page(run)
    assert "0 of 2 stages have their output" in html
    assert "Results" not in html


def test_arrows_that_follow_from_others_are_left_out() -> None:
    names = {"a": (), "b": ("a",), "c": ("a", "b"), "d": ("b", "c")}
    stages = [Stage(known=KnownStage(name=name, depends_on=needs)) for name, needs in names.items()]
    # a → b → c → d; a → c and b → d follow.
    assert stage_graph(stages).count('class="edge"') == 3


def test_durations_are_read_at_a_glance() -> None:
    assert [shown_duration(s) for s in (None, 0.4, 61.0, 3661.0)] == ["–", "0:00", "1:01", "1:01:01"]


def test_the_metrics_of_a_large_run_make_a_page_below_three_megabytes() -> None:
    generator = np.random.default_rng(0)
    steps = np.arange(100_000, dtype=float)
    names = ["loss", *(f"loss_type{i}" for i in range(11))]
    curves = [
        StageCurves(
            stage=f"stage-{k}", series={n: Series(steps=steps, values=generator.normal(size=len(steps))) for n in names}
        )
        for k in range(4)
    ]
    html = render_page(Run(title="large", material=RunMaterial(stages={}), curves=curves))
    assert html.count('class="area') == 48
    assert len(html.encode()) < 3_000_000
