"""Whole stage attempts against a real server: one misses an outage, one fails, and all of it is told in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobs import finalize
from jobs.stage_context import StageContext
from mimo_vl.config.compose import compose
from mimo_vl.schema.manifest import InputRef
from mimo_vl.schema.verdict import AttemptEnd, AttemptVerdict
from mimo_vl.storage.attempts import conclude_attempt
from mimo_vl.storage.layout import attempt_prefix, run_prefix
from mimo_vl.tracking.build import build_tracker
from mimo_vl.tracking.journal import read_journal
from mimo_vl.tracking.tracker import RunStatus
from mimo_vl.vocabulary import StageName
from tests.integration.observability.exporters import wait_until

from .conftest import Server
from .tracked_pipeline import NUM_STEPS, OVERRIDES, Asked, Pipeline, curate, fail, train

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CLUSTER_LINK = "https://console.example.com/#/team/demo"
_PSS_OF_SECOND = "system/process_pss/node-1"
KFP_RUN = "https://kubeflow.example.com/pipeline/#/runs/details/run-1"


def test_a_server_that_is_down_for_a_whole_stage_has_every_point_once_in_the_end(
    server: Server, tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path, server.uri, "aaaa1111")
    assert pipeline.run(StageName.CURATE, curate) == 0
    data = {"curate": pipeline.output(StageName.CURATE)}
    server.stop()
    assert pipeline.run(StageName.LONG_CONTEXT_SFT, lambda ctx: _train_on_two_nodes(ctx, pipeline), inputs=data) == 0
    server.start()
    sft = {**data, "long-context-sft": pipeline.output(StageName.LONG_CONTEXT_SFT)}
    assert pipeline.run(StageName.FINALIZE, finalize.main, inputs=sft) == 0

    asked, name = Asked(server, pipeline.run_id), "long-context-sft-1"
    assert asked.status(name) == "FINISHED"
    journal = f"{attempt_prefix(pipeline.run_id, 'long-context-sft', 1)}/journal"
    logged = [e for e in read_journal(pipeline.store, journal) if "loss" in e.values]
    assert len(logged) == NUM_STEPS
    expected = [(e.step, float(e.values["loss"]), e.time_ms) for e in logged]
    assert asked.points(name, "loss") == expected
    assert asked.points(name, "loss_by_tokens") == [(100 * step, value, time) for step, value, time in expected]
    samples = [e for e in read_journal(pipeline.store, journal) if "system/process_pss/node-0" in e.values]
    assert len(asked.points(name, "system/process_pss/node-0")) == len(samples) > 0
    of_second = _points_in_journal(pipeline, f"{journal}/node-1", _PSS_OF_SECOND)
    assert len(of_second) > 1
    assert asked.points(name, _PSS_OF_SECOND) == of_second
    # A second replay, as a retried finalize makes it, changes nothing.
    (tmp_path / "store" / journal / "sent.json").unlink()
    (tmp_path / "store" / journal / "node-1" / "sent.json").unlink()
    again = pipeline.run(StageName.FINALIZE, finalize.main, inputs=sft, attempt=2)
    # A page that does not exist is no tag.
    assert {"mimo.kfp_run", "mimo.cluster_link"}.isdisjoint(asked.tags(pipeline.run_id))
    assert again == 0
    assert asked.points(name, "loss") == expected
    assert asked.points(name, _PSS_OF_SECOND) == of_second


def _train_on_two_nodes(ctx: StageContext, pipeline: Pipeline) -> Mapping[str, float]:
    """The second node tells its system metrics into a journal of its own, as its own process would."""
    attempt = attempt_prefix(pipeline.run_id, ctx.stage, 1)
    node = build_tracker(
        ctx.config.tracking,
        uri=pipeline.tracking_uri,
        store=pipeline.store,
        impatient=pipeline.store,
        run=run_prefix(pipeline.run_id),
        attempt=attempt,
        journal_dir=pipeline.folder / "store" / attempt / "journal",
        node_rank=1,
    )
    node.start("long-context-sft-1", {}, {})
    values = train(ctx)
    wait_until(
        lambda: len(list(read_journal(pipeline.store, f"{attempt}/journal/node-1"))) > 1,
        60.0,
        lambda: "the second node tells nothing",
    )
    node.finish(RunStatus.FINISHED)
    return values


def _points_in_journal(pipeline: Pipeline, journal: str, metric: str) -> list[tuple[int, float, int]]:
    entries = [e for e in read_journal(pipeline.store, journal) if metric in e.values]
    return sorted((e.step, float(e.values[metric]), e.time_ms) for e in entries)


def test_what_the_runs_of_a_pipeline_hold(server: Server, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, server.uri, "bbbb2222", overrides=(f"tracking.cluster_link='{CLUSTER_LINK}'",))
    assert pipeline.run(StageName.CURATE, curate) == 0
    data = {"curate": pipeline.output(StageName.CURATE)}
    assert pipeline.run(StageName.LONG_CONTEXT_SFT, fail, inputs=data) == 2
    # A pipeline that nobody goes on with stays as it is.
    assert Asked(server, pipeline.run_id).status(pipeline.run_id) == "FAILED"
    assert pipeline.run(StageName.LONG_CONTEXT_SFT, train, inputs=data, attempt=2, kfp_run=KFP_RUN) == 0
    sft = pipeline.output(StageName.LONG_CONTEXT_SFT, 2)
    inputs = {**data, "long-context-sft": sft}
    assert pipeline.run(StageName.FINALIZE, finalize.main, inputs=inputs, kfp_run=KFP_RUN) == 0

    asked, parent = Asked(server, pipeline.run_id), pipeline.run_id
    assert sorted(asked.runs) == ["curate-1", "finalize-1", parent, "long-context-sft-1", "long-context-sft-2"]
    # The first attempt says why it ended, the second one ended well.
    assert asked.status("long-context-sft-1") == "FAILED"
    assert asked.tags("long-context-sft-1")["mimo.reason"] == "PermanentError"
    assert asked.tags("long-context-sft-1")["mimo.message"] == "the loss is NaN at step 2"
    assert asked.status("long-context-sft-2") == "FINISHED"
    assert "mimo.reason" not in asked.tags("long-context-sft-2")

    params = asked.params("long-context-sft-2")
    assert (params["stage"], params["profile"], params["seed"]) == ("long-context-sft", "tiny", "0")
    assert params["stage.num_steps"] == str(compose("tiny", OVERRIDES).stages[StageName.LONG_CONTEXT_SFT].num_steps)
    tags = asked.tags("long-context-sft-2")
    attempt = attempt_prefix(pipeline.run_id, "long-context-sft", 2)
    assert json.loads(tags["mimo.output"]) == {"uri": sft.uri, "digest": sft.digest}
    checkpoint = json.loads(tags["mimo.checkpoint.step-5"])
    assert checkpoint["uri"] == pipeline.store.uri(f"{attempt}/checkpoints/step-5")

    inputs = asked.runs["long-context-sft-2"]["inputs"]["dataset_inputs"]
    [dataset] = [i["dataset"] for i in inputs]
    assert json.loads(dataset["source"])["digest"] == data["curate"].digest
    assert json.loads(dataset["profile"])["datasets"]["train-ocr"]["kept"] == 2
    assert "| train-ocr |" in _artifact(server, asked, "long-context-sft-2", "data_cards/curate.md").decode()
    assert b"ocr" in _artifact(server, asked, "long-context-sft-2", "plots/loss_by_data_type.svg")

    _check_parent(server, asked, pipeline, sft)


def _check_parent(server: Server, asked: Asked, pipeline: Pipeline, sft: InputRef) -> None:
    parent = pipeline.run_id
    tags = asked.tags(parent)
    assert asked.status(parent) == "FINISHED"
    # The run in Kubeflow Pipelines was started after the first attempts.
    assert (tags["mimo.kfp_run"], tags["mimo.cluster_link"], tags["mimo.pipeline"]) == (KFP_RUN, CLUSTER_LINK, "demo")
    assert asked.params(parent)["tracking.experiment"] == "stages"
    assert _artifact(server, asked, parent, "config.yaml").decode() == pipeline.config.read_text()
    lineage = json.loads(_artifact(server, asked, parent, "lineage.json"))
    assert lineage[sft.digest]["inputs"] == {"curate": pipeline.output(StageName.CURATE).digest}
    table = json.loads(_artifact(server, asked, parent, "stages.json"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [(r["stage"], r["attempt"]) for r in rows] == [
        ("curate", 1),
        ("long-context-sft", 1),
        ("long-context-sft", 2),
    ]
    assert rows[2]["digest"] == sft.digest
    assert "stages.json" in tags["mlflow.loggedArtifacts"]
    assert _artifact(server, asked, parent, "report.html").startswith(b"<!doctype html>")
    assert asked.points(parent, "loss_last/long-context-sft")[0][1] == 0.5
    alias = asked.rest.get("registered-models/alias", name="mimo-vl-tiny", alias="sft")["model_version"]
    assert {t["key"]: t["value"] for t in alias["tags"]}["mimo.digest"] == sft.digest
    assert "# mimo-vl-tiny: long-context-sft" in alias["description"]


def _artifact(server: Server, asked: Asked, run: str, path: str) -> bytes:
    return server.artifact(asked.experiment_id, asked.id(run), path)


def test_a_killed_attempt_is_told_with_its_reason_as_soon_as_the_next_one_runs(server: Server, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, server.uri, "cccc3333")
    stage = StageName.LONG_CONTEXT_SFT
    attempt = attempt_prefix(pipeline.run_id, stage, 1)

    class _Killed(BaseException):
        pass

    trackers: list[Any] = []

    def killed(ctx: StageContext) -> Mapping[str, float]:
        trackers.append(ctx.tracker)
        ctx.tracker.log_metrics({"loss": 2.0}, 1)
        ctx.tracker.flush()
        # Leaves run_stage without any of its clean-up, as SIGKILL does.
        raise _Killed

    with pytest.raises(_Killed):
        pipeline.run(stage, killed)
    message = "killed by SIGKILL (exit code 137)"
    verdict = AttemptVerdict(state=AttemptEnd.KILLED, reason="Killed", message=message, exit_code=137)
    conclude_attempt(pipeline.store, attempt, verdict)
    assert pipeline.run(stage, train, attempt=2) == 0
    asked = Asked(server, pipeline.run_id)
    assert asked.status("long-context-sft-1") == "KILLED"
    tags = asked.tags("long-context-sft-1")
    assert (tags["mimo.reason"], tags["mimo.message"]) == ("Killed", message)
    assert asked.points("long-context-sft-1", "loss")[0][:2] == (1, 2.0)
    assert asked.status("long-context-sft-2") == "FINISHED"
    # Its threads outlive it here, which those of a killed process do not.
    trackers[0].stop_threads()
