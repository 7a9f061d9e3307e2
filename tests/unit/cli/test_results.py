"""What came out of runs: report, runs, compare, artifacts, lineage, on run folders made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from mimo_vl.errors import ConfigError, DigestMismatchError, InputError
from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.api import MimoPipelineSpec, Phase, PipelineRuntime, StageSpec, StageState, StageStatus
from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder
from operators.mimo_pipeline.status import MimoPipelineStatus
from tests.fakes.run_store import START, RunStore

UID = "0123456789"


def _run(folder: Path, *, lr: float = 0.1, loss: float = 1.0) -> Path:
    """base, then train, whose first attempt failed."""
    run = RunFolder(folder)
    pipeline = PipelineObject(
        metadata=Metadata(name=folder.name, uid=UID),
        spec=MimoPipelineSpec(
            profile="tiny", stages=(StageSpec(name="base"), StageSpec(name="train", depends_on=("base",)))
        ),
    )
    store = RunStore(LocalStore(run.store_path), pipeline.run_id)
    base = store.succeeded("base", files={"model/weights.bin": b"weights", "tokenizer.json": b"{}"})
    store.failed("train", 1, message="disk full")
    trained = store.succeeded("train", 2, inputs={"base": base}, results={"loss_first": 2.0, "loss_last": loss})
    done = {"state": StageState.SUCCEEDED, "started_at": START, "finished_at": START}
    status = MimoPipelineStatus(
        phase=Phase.SUCCEEDED,
        started_at=START,
        finished_at=START,
        runtime=PipelineRuntime(
            config={"training": {"lr": lr, "steps": 3}, "tracking": {"uri": f"http://{folder.name}"}},
            code_digest="sha256:c0de",
        ),
        stages=(
            StageStatus(name="base", attempt=1, output_uri=base.uri, digest=base.digest, **done),
            StageStatus(name="train", attempt=2, output_uri=trained.uri, digest=trained.digest, **done),
        ),
    )
    run.create(pipeline.model_copy(update={"status": status}))
    return folder


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Named runs/demo from the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "180")
    return _run(tmp_path / "runs" / "demo")


def _call(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == exit_code
    return result.output


def _json(*arguments: str):
    return json.loads(_call(*arguments, "--output", "json"))


def test_a_run_is_named_by_its_folder_or_by_its_name_below_runs(run_dir: Path) -> None:
    for run in ("demo", "runs/demo", str(run_dir)):
        assert _json("status", run)["metadata"]["name"] == "demo"
    assert _json("status")["metadata"]["name"] == "demo"


def test_a_wrong_name_lists_the_near_ones(run_dir: Path) -> None:
    with pytest.raises(InputError, match=r"runs/dmo does not exist; start a run with: .*\. Did you mean demo\?"):
        _call("status", "dmo")
    with pytest.raises(ConfigError, match=r"'trian' is not in this run.*Did you mean train\?"):
        _call("logs", "trian")


@pytest.mark.parametrize(
    ("words", "wanted"), [("mimo stat", "status"), ("mimo status de", "demo"), ("mimo logs mor", "morl")]
)
def test_the_shell_completes_commands_runs_and_stages(run_dir: Path, words: str, wanted: str) -> None:
    asked = {"_MIMO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    result = CliRunner().invoke(app, [], env=asked, prog_name="mimo")
    assert wanted in result.output.split()


def test_a_run_that_is_named_twice_is_an_error(run_dir: Path) -> None:
    with pytest.raises(ConfigError, match="name the run once"):
        _call("status", "demo", "--run-dir", str(run_dir))


def test_report_writes_the_page_and_tells_every_attempt(run_dir: Path) -> None:
    found = _json("report", "demo")
    assert found["report"] == str(run_dir / "report.html")
    assert [(a["attempt"], a["state"], a["message"]) for a in found["stages"][1]["attempts"]] == [
        (1, "Failed", "disk full"),
        (2, "Succeeded", ""),
    ]
    page = (run_dir / "report.html").read_text()
    assert "disk full" in page
    assert page == (_call("report", "demo", "--to", "copy.html") and Path("copy.html").read_text())


def test_runs_lists_folders_with_a_run(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "pipeline.json").write_text("{}")
    found = {row["run"]: row for row in _json("runs")}
    assert found["local/demo/01234567"]["phase"] == "Succeeded"
    assert found["local/demo/01234567"]["progress"] == "2/2"
    assert found["broken"]["phase"] == "unreadable"
    assert len(found) == 2
    assert "mimo run --run-dir" in _call("runs", "--root", str(tmp_path / "runs" / "other"))


def test_runs_of_a_store_need_no_pipeline(run_dir: Path) -> None:
    (row,) = _json("runs", "--store", (run_dir / "store").as_uri())
    assert (row["run"], row["progress"]) == ("local/demo/01234567", "2/2")


def test_a_run_whose_pipeline_is_gone_is_read_from_its_store(run_dir: Path) -> None:
    store = (run_dir / "store").as_uri()
    (run_dir / "pipeline.json").unlink()
    run = "local/demo/01234567"
    found = _json("report", run, "--store", store)
    assert found["report"].endswith("local-demo-01234567-report.html")
    assert [(s["name"], s["state"], len(s["attempts"])) for s in found["stages"]] == [
        ("base", "Succeeded", 1),
        ("train", "Succeeded", 2),
    ]
    assert {a["problem"] for a in _json("artifacts", "verify", run, "--store", store)} == {""}
    assert {a["name"] for a in _json("lineage", run, "--store", store)["artifacts"]} == {"base", "train"}
    with pytest.raises(InputError, match=r"not a run in .*Did you mean local/demo/01234567\?"):
        _call("report", "local/demo/01234568", "--store", store)
    with pytest.raises(ConfigError, match="--store: got it with options of a run folder"):
        _call("report", run, "--store", store, "-n", "train")


def test_compare_names_what_differs_and_not_where_it_ran(run_dir: Path) -> None:
    _run(run_dir.parent / "other", lr=0.2, loss=0.5)
    found = _json("compare", "demo", "other")
    assert found["config"] == [{"field": "training.lr", "first": 0.1, "second": 0.2}]
    assert [run["stages"][1]["metrics"]["loss_last"] for run in found["runs"]] == [1.0, 0.5]
    table = _call("compare", "demo", "other")
    assert "training.lr" in table
    assert "the same" in table


def test_lineage_is_a_tree_by_digests(run_dir: Path) -> None:
    found = _json("lineage", "demo")
    artifacts = {a["name"]: a for a in found["artifacts"]}
    assert found["roots"] == [artifacts["train"]["digest"]]
    assert artifacts["train"]["inputs"]["base"]["digest"] == artifacts["base"]["digest"]
    lines = _call("lineage", "demo").splitlines()
    assert lines[0].startswith(f"train  {artifacts['train']['digest'][:19]}")
    assert "base" in lines[1]
    with pytest.raises(InputError, match="Did you mean train"):
        _call("lineage", "demo", "--stage", "trian")


def test_artifacts_are_listed_with_their_files(run_dir: Path) -> None:
    assert [(a["stage"], a["attempt"], a["num_files"]) for a in _json("artifacts", "ls", "demo")] == [
        ("base", 1, 2),
        ("train", 2, 1),
    ]
    assert "model/weights.bin" in _call("artifacts", "ls", "demo", "--stage", "base")


def test_an_output_or_a_part_of_it_is_fetched_and_checked(run_dir: Path) -> None:
    assert _json("artifacts", "get", "base", "demo", "--to", "all")["files"] == ["model/weights.bin", "tokenizer.json"]
    assert Path("all/model/weights.bin").read_bytes() == b"weights"
    assert _json("artifacts", "get", "base", "demo", "--path", "model/", "--to", "part")["files"] == [
        "model/weights.bin"
    ]
    assert not Path("part/tokenizer.json").exists()
    with pytest.raises(InputError, match="no 'modle' in the output of base"):
        _call("artifacts", "get", "base", "demo", "--path", "modle")
    with pytest.raises(InputError, match=r"'tain' has no output in local/demo/01234567\. Did you mean train"):
        _call("artifacts", "get", "tain", "demo")


def test_verify_finds_one_changed_byte(run_dir: Path) -> None:
    assert {a["problem"] for a in _json("artifacts", "verify", "demo")} == {""}
    weights = next(run_dir.glob("store/**/weights.bin"))
    weights.chmod(0o644)
    weights.write_bytes(b"Weights")
    with pytest.raises(DigestMismatchError, match=r"base: artifact .*model/weights.bin has sha256") as found:
        _call("artifacts", "verify", "demo")
    assert "mimo retry" in str(found.value)
    assert found.value.exit_code == 2
    assert {a["problem"] for a in _json("artifacts", "verify", "demo", "--stage", "train")} == {""}


def test_without_a_stage_the_log_of_the_one_that_ended_last_is_printed(run_dir: Path) -> None:
    path = RunFolder(run_dir).log_path(UID, "base", 1)
    path.parent.mkdir(parents=True)
    path.write_text("one\n")
    (path.parent / "train-2.log").write_text("two\n")
    assert _call("logs", "base", "--attempt", "1", "--follow") == "one\n"
    assert json.loads(_call("logs", "train", "--output", "json")) == {"stage": "train", "from": "", "text": "two\n"}
    assert _call("logs") in ("one\n", "two\n")


def test_a_log_whose_file_is_gone_is_read_from_the_store(run_dir: Path) -> None:
    RunStore(LocalStore(run_dir / "store"), f"local/demo/{UID[:8]}").attempt("train", 3, log="kept\n")
    assert _call("logs", "train", "--attempt", "3") == "kept\n"
    assert _call("logs", "train", "--attempt", "3", "-f") == "kept\n"
    with pytest.raises(InputError, match=r"attempt 4: no log .*, and none in the store.*mimo status"):
        _call("logs", "train", "--attempt", "4")


def test_status_is_watched_until_the_run_has_ended(run_dir: Path) -> None:
    assert json.loads(_call("status", "demo", "--watch", "--output", "json"))["status"]["phase"] == "Succeeded"
