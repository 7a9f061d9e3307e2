"""The compiled package, executed by kfp.local, on the real controller, launcher and runtime with stages that count."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from jobs.cli_run import RunRequest
from jobs.kfp_local import DEFAULT_KFP_PYTHON, run_on_this_machine
from mimo_vl.storage import store_for_uri
from mimo_vl.storage.artifacts import read_manifest
from operators.mimo_pipeline import naming
from operators.mimo_pipeline.api import Phase, StageState
from operators.mimo_pipeline.builders.process import STAGE_MODULES
from operators.mimo_pipeline.local.state import RunFolder

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not DEFAULT_KFP_PYTHON.is_file(), reason="no environment of kfp: make setup-kfp"),
]
_DEADLINE_S = 200.0
_MODULES = dict.fromkeys(STAGE_MODULES, "tests.integration.local_runner.fake_stage")
Run = Callable[..., int]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "demo"


@pytest.fixture
def run(tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Executes the package of the tiny profile; stages after curate are left out."""
    monkeypatch.setenv("FAKE_STAGE_DIR", str(tmp_path))

    def call(**parameters: object) -> int:
        request = RunRequest(
            profile="tiny",
            run_dir=run_dir,
            overrides=("tracking.kind='null'",),
            through="curate",
        )
        console = Console(file=io.StringIO(), width=160)
        return run_on_this_machine(request, parameters=parameters, modules=_MODULES, console=console)

    return call


def test_the_steps_follow_the_stages_and_hand_out_metrics_and_artifacts(
    run: Run, run_dir: Path, tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    switch, line = tmp_path / "curate.slow", r"saved checkpoint step=1 .*/curate/attempt-1"
    switch.touch()
    with _let_go_once_told(switch, line, capfd) as seen:
        assert run() == 0
    # While the stage still ran: it waited for this line to be in the step's log.
    assert re.search(line, "".join(seen))
    pipeline = RunFolder(run_dir).load()
    assert pipeline.status.phase == Phase.SUCCEEDED
    assert pipeline.metadata.labels == {naming.LABEL_MADE_BY: naming.MADE_BY_KUBEFLOW}
    assert pipeline.metadata.annotations[naming.ANNOTATION_KUBEFLOW_RUN] != ""
    told = "".join(seen) + capfd.readouterr().out
    assert "curate: Succeeded, attempt 1" in told
    assert "curate-rl is not a stage of this pipeline: nothing to do" in told
    assert "published uri=" in told  # out of the stages' own logs
    curate = pipeline.status.stage("curate")
    [reference] = _references(run_dir, "curate")
    assert (reference["mimo_uri"], reference["digest"]) == (curate.output_uri, curate.digest)
    manifest = read_manifest(store_for_uri(curate.output_uri), "")
    assert manifest.metrics["steps"] == 3.0
    assert _metrics(run_dir, "curate") == manifest.metrics
    assert list(temporary.iterdir()) == [], "left behind"


@contextmanager
def _let_go_once_told(switch: Path, line: str, capfd: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Remove `switch` when the output has this line, or after the deadline; yields the output until then."""
    seen: list[str] = []

    def watch() -> None:
        end_s = time.monotonic() + _DEADLINE_S
        while not re.search(line, "".join(seen)) and time.monotonic() < end_s:
            time.sleep(0.2)
            seen.append(capfd.readouterr().out)
        switch.unlink()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield seen
    watcher.join()


def test_a_failed_stage_fails_its_step_and_the_next_run_goes_on_or_starts_from_a_stage(
    run: Run, run_dir: Path, tmp_path: Path, capfd
) -> None:
    (tmp_path / "curate.exit").write_text("PermanentError")
    assert run() == 1
    told = capfd.readouterr().out
    assert "error: curate is Failed (attempt 1): " in told
    assert "asked for PermanentError" in told
    pipeline = RunFolder(run_dir).load()
    first_run = pipeline.metadata.annotations[naming.ANNOTATION_KUBEFLOW_RUN]
    assert pipeline.status.stage("curate").state == StageState.FAILED
    assert run() == 0
    after = RunFolder(run_dir).load()
    assert after.metadata.uid == pipeline.metadata.uid
    assert after.metadata.annotations[naming.ANNOTATION_KUBEFLOW_RUN] != first_run
    assert after.status.stage("curate").attempt == 2
    assert run(from_stage="curate") == 0
    anew = RunFolder(run_dir).load()
    assert [(s.name, s.state, s.reused) for s in anew.status.stages] == [
        ("base", StageState.SUCCEEDED, True),
        ("curate", StageState.SUCCEEDED, False),
    ]
    assert anew.status.stage("base").output_uri == after.status.stage("base").output_uri
    assert anew.status.stage("curate").output_uri != after.status.stage("curate").output_uri
    # The steps of each run hand out what its attempt made.
    handed_out = {r["mimo_uri"] for r in _references(run_dir, "curate")}
    assert handed_out == {found.status.stage("curate").output_uri for found in (after, anew)}


def _references(run_dir: Path, stage: str) -> list[dict]:
    paths = [p for name in ("model", "dataset", "results") for p in (run_dir / "kfp").rglob(name) if p.is_file()]
    found = [json.loads(path.read_text()) for path in paths]
    assert found
    return [reference for reference in found if reference["stage"] == stage and "mimo_uri" in reference]


def _metrics(run_dir: Path, stage: str) -> dict:
    outputs = [json.loads(path.read_text()) for path in (run_dir / "kfp").rglob("executor_output.json")]
    assert outputs
    for output in outputs:
        artifacts = output.get("artifacts", {})
        described = [a["artifacts"][0]["metadata"] for name, a in artifacts.items() if name != "metrics"]
        if described and described[0].get("stage") == stage:
            return artifacts["metrics"]["artifacts"][0]["metadata"]
    raise AssertionError(f"no metrics of {stage}")
