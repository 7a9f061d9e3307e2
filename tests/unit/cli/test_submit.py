"""`mimo submit`: the object of a profile, and what is refused before any cluster is asked."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import MimoPipelineSpec
from operators.mimo_pipeline.kubernetes import api_client
from tests.fakes.pipeline_client import FakePipelineClient

_BASE = "base=s3://models/base@sha256:01ab,models-reader"


def _submit(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["submit", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_dry_run_prints_the_object_as_yaml_or_json() -> None:
    text = _submit("--profile", "tiny", "--through", "curate", "--dry-run", "-n", "train")
    assert yaml.safe_load(text) == {
        "apiVersion": "mimo.dev/v1alpha1",
        "kind": "MimoPipeline",
        "metadata": {"name": "tiny", "namespace": "train"},
        "spec": {
            "profile": "tiny",
            "stages": [{"name": "base", "job": {}}, {"name": "curate", "job": {}, "dependsOn": ["base"]}],
        },
    }
    arguments = ("--profile", "tiny", "--through", "curate", "--dry-run", "-n", "train", "-o", "json")
    assert json.loads(_submit(*arguments)) == yaml.safe_load(text)


def test_a_pipeline_names_the_queue_that_admits_its_jobs() -> None:
    body = yaml.safe_load(_submit("--queue", "training", "--dry-run"))
    assert body["spec"]["queueName"] == "training"
    assert "queueName" not in yaml.safe_load(_submit("--dry-run"))["spec"]
    with pytest.raises(ConfigError, match=r"--queue: got '-x', wanted the name of a LocalQueue"):
        _submit("--queue=-x", "--dry-run")


def test_overrides_are_checked_and_a_set_is_written_out() -> None:
    spec = yaml.safe_load(_submit("--override", "@demo-ci", "--override", "seed=7", "--dry-run"))["spec"]
    assert "rl.num_steps=4" in spec["overrides"]
    assert spec["overrides"][-1] == "seed=7"
    with pytest.raises(ConfigError, match=r"rl\.lrr: unknown key"):
        _submit("--override", "rl.lrr=1", "--dry-run")


def test_a_profile_without_a_base_stage_asks_for_its_models() -> None:
    with pytest.raises(ConfigError, match="--input base=URI@DIGEST"):
        _submit("--profile", "mimo_vl_7b", "--dry-run")


def test_a_given_artifact_replaces_its_stage_and_keeps_its_secret() -> None:
    body = yaml.safe_load(_submit("--profile", "mimo_vl_7b", "--input", _BASE, "--dry-run"))
    spec = MimoPipelineSpec.model_validate(body["spec"])
    assert body["metadata"]["name"] == "mimo-vl-7b"
    assert "base" not in [s.name for s in spec.stages]
    assert spec.inputs[0].to_values() == {
        "name": "base",
        "uri": "s3://models/base",
        "digest": "sha256:01ab",
        "secretRef": "models-reader",
    }
    assert spec.stage("projector-warmup").num_procs == 128


@pytest.mark.parametrize("wrong", ["base", "base=s3://models/base", "=s3://x@d", "Base!=s3://x@d"])
def test_a_misspelt_input_says_how_it_is_written(wrong) -> None:
    with pytest.raises(ConfigError, match="--input"):
        _submit("--input", wrong, "--dry-run")


def test_a_name_that_is_too_long_for_a_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match="wanted at most 42"):
        _submit("--name", "a-very-long-pipeline-name", "--dry-run")


def test_the_object_is_created_and_the_next_command_is_named(monkeypatch) -> None:
    client = FakePipelineClient()
    monkeypatch.setattr(api_client, "connect", lambda **_: client)
    text = _submit("--name", "demo", "--stages", "base")
    assert client.objects["demo"]["spec"] == {"profile": "tiny", "stages": [{"name": "base", "job": {}}]}
    assert text == (
        "created mimopipeline demo in namespace train; follow it with: mimo status --pipeline demo -n train\n"
    )
