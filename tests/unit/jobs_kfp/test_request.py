"""The parameters of the pipeline in Kubeflow Pipelines become a MimoPipeline, or an error that names the parameter."""

from __future__ import annotations

import json

import pytest

from jobs.kfp_request import KfpRequest, cluster_object, request_from
from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import MimoPipelineSpec
from tests.fakes.kfp_target import RUN


def _request(**parameters: object) -> KfpRequest:
    return request_from({"run_id": RUN, "profile": "tiny", "through": "curate", **parameters})


def test_a_request_survives_its_way_through_json() -> None:
    request = _request(overrides=["seed=7"], storage={"uri": "s3://x"}, follow=True, deadline_s=60)
    assert request_from(json.loads(json.dumps(request.to_values()))) == request
    assert request.overrides == ("seed=7",)


def test_unknown_and_wrong_parameters_are_named_all_at_once() -> None:
    with pytest.raises(ConfigError, match=r"colour: .*\n.*deadline_s: |deadline_s: .*\n.*colour: "):
        _request(colour="red", deadline_s="soon")


def test_the_object_is_that_of_mimo_submit_with_owner_and_label() -> None:
    body = cluster_object(_request(overrides=["seed=7"], namespace="train"))
    assert body["metadata"] == {
        "name": "kfp-11112222",
        "namespace": "train",
        "labels": {"mimo.dev/made-by": "kubeflow-pipelines"},
        "annotations": {"mimo.dev/kfp-run": RUN},
    }
    spec = MimoPipelineSpec.model_validate(body["spec"])
    # The tracking server names the run; where it is does not enter any stage key.
    assert (spec.profile, spec.overrides) == ("tiny", ("seed=7", f"tracking.kfp_run='{RUN}'"))
    assert [s.name for s in spec.stages] == ["base", "curate"]
    assert spec.retry is None


def test_the_address_of_the_run_is_what_a_browser_opens() -> None:
    overrides = cluster_object(_request(kfp_ui="https://kubeflow.example.com/pipeline/"))["spec"]["overrides"]
    assert overrides == [f"tracking.kfp_run='https://kubeflow.example.com/pipeline/#/runs/details/{RUN}'"]


def test_a_first_stage_to_run_anew_is_a_retry_request_of_this_run() -> None:
    body = cluster_object(_request(from_stage="curate"))
    assert body["spec"]["retry"] == {"from": "curate", "nonce": f"kfp-{RUN}"}
    with pytest.raises(ConfigError, match=r"from_stage: 'morl' is not in this run; choose from \['base', 'curate'\]"):
        cluster_object(_request(from_stage="morl"))


def test_a_store_of_its_own_is_checked_here_and_not_by_the_api_server() -> None:
    given = {"uri": "s3://mine/x", "secret": "mine", "endpoint": "s3.example.com"}
    assert cluster_object(_request(storage=given))["spec"]["storage"] == given
    with pytest.raises(ConfigError, match=r"storage: .*bucket.*spec\.storage"):
        cluster_object(_request(storage={**given, "bucket": "mine"}))


def test_stages_may_be_left_out_and_given() -> None:
    digest = "sha256:" + "0" * 64
    spec = cluster_object(_request(inputs=[f"base=s3://models/base@{digest}"], through="projector-warmup"))["spec"]
    assert [s["name"] for s in spec["stages"]] == ["curate", "projector-warmup"]
    assert spec["inputs"] == [{"name": "base", "uri": "s3://models/base", "digest": digest}]
    chosen = cluster_object(_request(stages=["base", "finalize"], through=""))["spec"]["stages"]
    assert [s["name"] for s in chosen] == ["base", "finalize"]


def test_names_are_short_enough_for_every_stage() -> None:
    assert len(_request().object_name) + len("vision-language-alignment") <= 42
    assert _request(name="mine").object_name == "mine"
    assert _request(run_dir="/runs/My demo").object_name == "my-demo"
