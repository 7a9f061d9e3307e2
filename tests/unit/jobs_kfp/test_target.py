"""A pipeline on a cluster and one in a run folder are made, found and marked by the same calls."""

from __future__ import annotations

import pytest

from jobs.kfp_request import KfpRequest
from jobs.kfp_target import ClusterPipeline, LocalPipeline, annotation_patch
from mimo_vl.errors import ConfigError, InputError
from operators.mimo_pipeline.kubernetes.api_client import ChangedMeanwhileError
from operators.mimo_pipeline.local.state import RunFolder
from tests.fakes.kfp_target import RUN, request
from tests.fakes.pipeline_client import FakePipelineClient, cluster_object
from tests.fakes.pipelines import chain, started

_NAME = "kfp-11112222"


@pytest.fixture
def client() -> FakePipelineClient:
    return FakePipelineClient(cluster_object(chain(), started(chain()), name=_NAME))


def _wanted(**parameters: object) -> KfpRequest:
    return request(through="curate", overrides=("tracking.kind='null'",), **parameters)


def test_what_is_not_there_is_none_and_what_cannot_be_read_is_an_error(client) -> None:
    assert ClusterPipeline(FakePipelineClient(), _NAME).find() is None
    client.objects[_NAME]["spec"]["colour"] = "red"
    with pytest.raises(InputError, match="colour"):
        ClusterPipeline(client, _NAME).find()


def test_a_pipeline_that_is_deleted_meanwhile_is_named_without_a_look_at_others(client, monkeypatch) -> None:
    def refuse():
        raise ConfigError("the cluster refuses: cannot list mimopipelines")

    monkeypatch.setattr(client, "list_all", refuse)
    target = ClusterPipeline(client, _NAME)
    assert target.load().metadata.name == _NAME
    del client.objects[_NAME]
    with pytest.raises(InputError, match="MimoPipeline kfp-11112222 was deleted in namespace train"):
        target.load()


def test_a_pipeline_is_created_with_its_owner() -> None:
    client = FakePipelineClient()
    ClusterPipeline(client, _NAME).create(_wanted())
    assert client.objects[_NAME]["metadata"]["annotations"] == {"mimo.dev/kfp-run": RUN}


def test_another_step_that_was_first_is_no_error_and_a_refusal_is_one(client) -> None:
    def refuse(body):
        raise ConfigError(f"metadata.name: {body['metadata']['name']} exists")

    client.create = refuse
    ClusterPipeline(client, _NAME).create(_wanted())
    del client.objects[_NAME]
    with pytest.raises(ConfigError, match="exists"):
        ClusterPipeline(client, _NAME).create(_wanted())


def test_annotations_are_added_to_those_that_are_there(client) -> None:
    target = ClusterPipeline(client, _NAME)
    target.annotate({"mimo.dev/kfp-failed.b": "1"})
    target.annotate({"mimo.dev/kfp-failed.a": "2"})
    found = client.objects[_NAME]["metadata"]["annotations"]
    assert found == {"mimo.dev/kfp-failed.b": "1", "mimo.dev/kfp-failed.a": "2"}


def test_a_write_in_between_is_kept(client) -> None:
    def other() -> None:
        client.objects[_NAME]["metadata"]["annotations"] = {"theirs": "x"}
        client.touch(_NAME)

    client.before_patch = other
    ClusterPipeline(client, _NAME).annotate({"ours": "y"})
    assert client.objects[_NAME]["metadata"]["annotations"] == {"theirs": "x", "ours": "y"}
    assert client.num_patches == 2


def test_an_object_that_changes_for_ever_is_given_up(client) -> None:
    def patch(*_):
        raise ChangedMeanwhileError("the test does not hold")

    client.patch = patch
    with pytest.raises(ChangedMeanwhileError):
        ClusterPipeline(client, _NAME).annotate({"ours": "y"})


def test_the_patch_holds_only_for_the_object_that_was_read() -> None:
    raw = {"metadata": {"resourceVersion": "7", "annotations": {"a": "1"}}}
    assert annotation_patch(raw, {"b/c": "2"}) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/metadata/annotations", "value": {"a": "1", "b/c": "2"}},
    ]


def test_a_pipeline_of_another_run_is_not_taken_over_on_a_cluster(client) -> None:
    with pytest.raises(ConfigError, match="belongs to another run"):
        ClusterPipeline(client, _NAME).adopt(_wanted())


def test_in_a_run_folder_the_next_run_goes_on_and_may_ask_for_a_stage_anew(tmp_path) -> None:
    target = LocalPipeline(tmp_path / "demo")
    assert target.find() is None
    target.create(_wanted())
    made = target.find()
    assert made is not None
    assert made.metadata.labels == {"mimo.dev/made-by": "kubeflow-pipelines"}
    adopted = target.adopt(_wanted(run_id="another", from_stage="curate"))
    assert adopted.metadata.uid == made.metadata.uid
    assert adopted.metadata.annotations == {"mimo.dev/kfp-run": "another"}
    assert adopted.spec.retry is not None
    assert adopted.spec.retry.from_stage == "curate"
    target.annotate({"x": "y"})
    assert RunFolder(tmp_path / "demo").load().metadata.annotations["x"] == "y"


@pytest.mark.parametrize("wrong", [{"inputs": ("base=s3://x@sha256:0",)}, {"storage": {"uri": "s3://x"}}])
def test_what_only_a_cluster_can_do_is_refused_on_one_machine(tmp_path, wrong) -> None:
    with pytest.raises(ConfigError, match="inputs, storage: for clusters"):
        LocalPipeline(tmp_path / "demo").create(_wanted(**wrong))
