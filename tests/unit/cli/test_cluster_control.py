"""The steering commands on a cluster: what they patch, what they show, and what they say when they cannot."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from mimo_vl.errors import ConfigError, InputError
from operators.mimo_pipeline.api import StageState, StageStatus
from operators.mimo_pipeline.cluster_control import control_patch
from operators.mimo_pipeline.kubernetes import api_client
from operators.mimo_pipeline.kubernetes.api_client import ChangedMeanwhileError
from tests.fakes.pipeline_client import FakePipelineClient, cluster_object
from tests.fakes.pipelines import chain, running, started, succeeded


@pytest.fixture
def client(monkeypatch):
    """A pipeline whose b waits for approval; the commands connect to it."""
    waiting = StageStatus(name="b", state=StageState.AWAITING_APPROVAL, attempt=2, key="sha256:kb")
    made = FakePipelineClient(cluster_object(chain(), started(chain(), succeeded("a"), waiting)))
    monkeypatch.setattr(api_client, "connect", lambda **_: made)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    return made


def _call(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--pipeline", "demo", "-n", "train"], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _spec(client) -> dict:
    return client.objects["demo"]["spec"]


def test_suspend_resume_and_cancel_patch_the_controls_and_nothing_else(client) -> None:
    before = dict(_spec(client))
    assert "the operator acts on it" in _call("suspend")
    assert _spec(client) == {**before, "suspend": True}
    _call("resume")
    assert _spec(client) == before
    _call("cancel")
    assert _spec(client) == {**before, "cancel": True}


def test_a_control_that_is_already_set_sends_no_patch(client) -> None:
    _call("resume")
    assert client.num_patches == 0


def test_an_approval_is_bound_to_the_key_of_the_output(client) -> None:
    _call("approve", "b")
    assert _spec(client)["approvals"] == [{"stage": "b", "key": "sha256:kb"}]


def test_a_write_in_between_is_read_again_and_kept(client) -> None:
    def other() -> None:
        client.objects["demo"]["spec"]["approvals"] = [{"stage": "a", "key": "sha256:ka"}]
        client.touch("demo")

    client.before_patch = other
    _call("approve", "b")
    assert _spec(client)["approvals"] == [{"stage": "a", "key": "sha256:ka"}, {"stage": "b", "key": "sha256:kb"}]
    assert client.num_patches == 2


def test_an_object_that_changes_for_ever_is_given_up(client) -> None:
    def patch(name, operations):
        raise ChangedMeanwhileError("the test does not hold")

    client.patch = patch
    with pytest.raises(ChangedMeanwhileError):
        _call("suspend")


def test_retry_names_the_stage_with_a_new_nonce_and_takes_a_cancel_back(client) -> None:
    _call("cancel")
    _call("retry", "--from", "a")
    first = _spec(client)["retry"]
    _call("retry", "--from", "a")
    assert first["from"] == "a"
    assert _spec(client)["retry"]["nonce"] != first["nonce"]
    assert _spec(client)["cancel"] is False


def test_a_control_is_removed_when_it_has_no_value_any_more() -> None:
    spec = chain(ttl_seconds_after_finished=5)
    operations = control_patch(spec, chain(), "7")
    assert operations == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "remove", "path": "/spec/ttlSecondsAfterFinished"},
    ]


def test_status_shows_the_stages_and_what_is_wrong(client) -> None:
    condition = {
        "type": "SecretMissing",
        "status": "True",
        "reason": "SecretMissing",
        "message": "no secret mimo-store",
    }
    invalid = {"type": "Valid", "status": "False", "reason": "InvalidSpec", "message": "no stage 'x'"}
    fine = {"type": "Running", "status": "True", "reason": "Running"}
    common = {"lastTransitionTime": "2026-01-01T12:00:00Z"}
    client.objects["demo"]["status"]["conditions"] = [{**c, **common} for c in (condition, invalid, fine)]
    client.objects["demo"]["status"]["mlflow"] = "http://mlflow/#/runs/1"
    text = _call("status")
    assert "train/demo/0123abcd" in text
    assert "AwaitingApproval" in text
    assert "SecretMissing=True: SecretMissing: no secret mimo-store\n" in text
    assert "Valid=False: InvalidSpec: no stage 'x'\n" in text
    assert "Running=True" not in text
    assert "MLflow: http://mlflow/#/runs/1" in text


def test_an_unknown_pipeline_and_an_unknown_stage_are_named(client) -> None:
    with pytest.raises(ConfigError, match="'x' is not in this run; choose from"):
        _call("approve", "x")
    del client.objects["demo"]
    with pytest.raises(InputError, match="--pipeline: no demo in namespace train"):
        _call("status")


def test_a_pipeline_that_no_operator_has_seen_says_so(client) -> None:
    del client.objects["demo"]["status"]
    assert "no operator has looked at this pipeline yet" in _call("status")
    with pytest.raises(InputError, match="stage b: no operator has looked"):
        _call("logs", "b")


def test_an_object_of_another_version_is_named_field_by_field(client) -> None:
    client.objects["demo"]["spec"]["colour"] = "red"
    with pytest.raises(InputError, match=r"not a pipeline that this version of mimo knows:\n.*colour"):
        _call("status")


def test_a_folder_and_a_pipeline_cannot_both_be_meant(client, tmp_path) -> None:
    with pytest.raises(ConfigError, match="--run-dir and --pipeline: got both"):
        _call("status", "--run-dir", str(tmp_path))


def test_a_namespace_without_a_pipeline_asks_for_one() -> None:
    with pytest.raises(ConfigError, match="--pipeline: missing"):
        CliRunner().invoke(app, ["status", "-n", "train"], catch_exceptions=False)


def test_a_running_stage_can_be_looked_at(client) -> None:
    client.objects["demo"]["status"] = started(chain(), running("a")).to_values()
    assert "Running" in _call("status", "--output", "json")
