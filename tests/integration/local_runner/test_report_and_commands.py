"""A real short run whose first attempt fails: what its page and the commands show, during and after, and how fast."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from jobs.cli import app
from jobs.cli_run import RunRequest, run_pipeline
from mimo_vl.evaluation.collect import RunMaterial
from mimo_vl.reporting.curves import AttemptMetrics, Series, StageCurves, stage_curves
from mimo_vl.reporting.page import render_page
from mimo_vl.reporting.run import Run
from mimo_vl.tracking.journal import metrics_entry
from operators.mimo_pipeline.builders.process import STAGE_MODULES
from tests.browser import Page, open_browser

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]
MODULES = dict.fromkeys(STAGE_MODULES, "tests.integration.local_runner.fake_stage")
# Nobody listens there: every metric stays in the journals of the store.
_TRACKING = ("tracking.uri='http://127.0.0.1:9'", "tracking.timeout_s=0.2")
_TOKEN = "integration-token-0123456789"
_PHONE_WIDTH = 390


def _run(folder: Path, *overrides: str) -> int:
    request = RunRequest(
        profile="tiny",
        run_dir=folder,
        overrides=(*_TRACKING, *overrides),
        stages=("base", "curate", "finalize"),
        source_root=folder.parent / "source",
    )
    return run_pipeline(request, modules=MODULES, console=Console(file=io.StringIO(), width=160))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """runs/demo: base failed once, then went on from its checkpoint. runs/other: another seed."""
    root = tmp_path_factory.mktemp("workspace")
    (root / "runs" / "source" / "jobs").mkdir(parents=True)
    (root / "runs" / "source" / "jobs" / "code.py").write_text("VERSION = 1\n")
    switches = root / "switches"
    switches.mkdir()
    (switches / "base.exit").write_text("RuntimeError")
    before = Path.cwd()
    changed = {"FAKE_STAGE_DIR": str(switches), "MIMO_REWARD_TOKEN": _TOKEN}
    saved = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    os.chdir(ROOT)
    try:
        assert _run(root / "runs" / "demo") == 0
        assert _run(root / "runs" / "other", "seed=7") == 0
        yield root
    finally:
        os.chdir(before)
        for name, value in saved.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def runs(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workspace)
    return workspace / "runs"


def _call(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _json(*arguments: str):
    return json.loads(_call(*arguments, "--output", "json"))


def test_a_run_ends_with_the_page_that_report_writes_again(runs: Path) -> None:
    page = (runs / "demo" / "report.html").read_text()
    assert "RuntimeError" in page
    assert "asked for RuntimeError" in page
    assert _json("report", "demo")["report"] == str(runs / "demo" / "report.html")
    assert (runs / "demo" / "report.html").read_text() == page


def test_a_failed_attempt_and_its_successor_are_told_by_report_and_log(runs: Path) -> None:
    base, *_ = _json("report", "demo")["stages"]
    assert [(a["attempt"], a["state"]) for a in base["attempts"]] == [(1, "Failed"), (2, "Succeeded")]
    assert "asked for RuntimeError" in base["attempts"][0]["message"]
    assert "asked for RuntimeError" in _call("logs", "base", "--attempt", "1")
    assert "asked for RuntimeError" not in _call("logs", "base", "--follow")


def test_the_log_in_the_store_is_that_of_the_folder(runs: Path) -> None:
    copies = sorted((runs / "demo" / "store").glob("runs/local/demo/*/base/attempt-*/logs/node-0.log"))
    assert len(copies) == 2
    originals = sorted((runs / "demo" / "logs").glob("*/base-*.log"))
    for copy, original in zip(copies, originals, strict=True):
        assert copy.read_text().strip() in original.read_text()
        assert _TOKEN not in original.read_text()


def test_packages_and_machine_of_an_attempt_are_in_its_record_and_on_the_page(runs: Path) -> None:
    (record,) = (runs / "demo" / "store").glob("runs/local/demo/*/curate/attempt-1/environment.json")
    found = json.loads(record.read_text())
    assert found["packages"]["numpy"] == np.__version__
    assert "cores" in found["hardware"]
    assert f"numpy {np.__version__}" in (runs / "demo" / "report.html").read_text()


def test_runs_lists_both_and_compare_names_the_seed(runs: Path) -> None:
    assert {row["phase"] for row in _json("runs")} == {"Succeeded"}
    found = _json("compare", "demo", "other")
    assert {"field": "seed", "first": 0, "second": 7} in found["config"]
    attempts = [len(run["stages"][0]["attempts"]) for run in found["runs"]]
    assert attempts == [2, 1]


def test_artifacts_are_whole_and_their_lineage_ends_at_base(runs: Path) -> None:
    assert {a["problem"] for a in _json("artifacts", "verify", "demo")} == {""}
    artifacts = {a["name"]: a for a in _json("lineage", "demo", "--stage", "curate")["artifacts"]}
    assert set(artifacts["curate"]["inputs"]) == {"base"}
    assert artifacts["base"]["inputs"] == {}
    assert "curate" in _call("lineage", "demo")


def _open(page: Page, path: Path) -> None:
    page.goto(path.as_uri())
    assert page.errors == []


def test_the_page_loads_nothing_fits_a_phone_and_turns_dark(runs: Path) -> None:
    path = runs / "demo" / "report.html"
    with open_browser() as browser:
        page = browser.open(path.as_uri())
        assert page.errors == []
        assert page.requests == [path.as_uri()]
        assert "1 ✗" in page.text()
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.prefer_dark()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        page.resize(_PHONE_WIDTH, 844, is_phone=True)
        assert page.evaluate("document.documentElement.scrollWidth") == _PHONE_WIDTH
        # Curves: the loss, and the loss of the data type, of both stages with metrics.
        assert page.evaluate("document.querySelectorAll('#curves svg').length") >= 6


def _metrics_of_machines(generator: np.random.Generator, *, num_nodes: int, num_gpus: int) -> AttemptMetrics:
    """What the journals of every node hold, 500 samples of each."""
    parts = ["cpu_utilization_percentage", "system_memory_usage_percentage", "system_memory_used", "process_pss"]
    of_gpus = [f"gpu_{what}/gpu-{g}" for what in ("utilization_percentage", "memory_used") for g in range(num_gpus)]
    found = AttemptMetrics()
    for node in range(num_nodes):
        names = [f"system/{part.replace('/', f'/node-{node}/')}" for part in of_gpus]
        names += [f"system/{part}/node-{node}" for part in parts]
        for step in range(500):
            values = dict(zip(names, generator.uniform(0, 100, len(names)).tolist(), strict=True))
            found.add(metrics_entry(values, step, 0))
    return found


def test_the_page_of_a_large_run_opens_within_a_second(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    steps = np.arange(100_000, dtype=float)
    names = ["loss", *(f"loss_type{i}" for i in range(11))]
    trained = {n: Series(steps=steps, values=generator.normal(size=len(steps))) for n in names}
    machines = stage_curves("stage", [_metrics_of_machines(generator, num_nodes=16, num_gpus=8)])
    assert machines is not None
    curves = [StageCurves(stage=f"stage-{k}", series={**trained, **machines.series}) for k in range(4)]
    path = tmp_path / "large.html"
    path.write_text(render_page(Run(title="large", material=RunMaterial(stages={}), curves=curves)), encoding="utf-8")
    assert path.stat().st_size < 3_000_000
    with open_browser() as browser:
        page = browser.open()
        # Processor time of the page's thread: a busy machine does not make the page slower.
        page.call("Performance.enable", timeDomain="threadTicks")
        _open(page, path)
        # In each of 4 stages 12 curves of training, and of 16 nodes the use and the memory of their GPUs, CPU, memory
        # and size of the processes.
        assert page.evaluate("document.querySelectorAll('#curves path.area').length") == 4 * (12 + 16 * 6)
        assert page.evaluate("document.querySelectorAll('#curves svg').length") == 4 * 5
        found = {m["name"]: m["value"] for m in page.call("Performance.getMetrics")["metrics"]}
        # From the start of the navigation until everything was laid out.
        took_ms = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert found["TaskDuration"] < 1.0
    assert took_ms < 1000 or os.getloadavg()[0] > len(os.sched_getaffinity(0))
