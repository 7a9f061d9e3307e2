"""Stage keys change exactly when the result could."""

from __future__ import annotations

from operators.mimo_pipeline.api import JobWorkload, PodSettings, RayWorkload, StageSpec
from operators.mimo_pipeline.keys import stage_key
from operators.mimo_pipeline.plan import InputArtifact
from tests.fakes.pipelines import RUNTIME

_A = StageSpec(name="a")
_INPUT = {"base": InputArtifact(uri="file:///here", digest="sha256:1")}


def test_the_place_of_an_input_does_not_matter_but_its_content_and_name_do() -> None:
    key = stage_key(_A, _INPUT, RUNTIME)
    assert stage_key(_A, {"base": InputArtifact(uri="s3://there", digest="sha256:1")}, RUNTIME) == key
    assert stage_key(_A, {"base": InputArtifact(uri="file:///here", digest="sha256:2")}, RUNTIME) != key
    assert stage_key(_A, {"other": InputArtifact(uri="file:///here", digest="sha256:1")}, RUNTIME) != key


def test_configuration_code_and_kind_enter_the_key() -> None:
    key = stage_key(_A, _INPUT, RUNTIME)
    assert stage_key(_A, _INPUT, RUNTIME.model_copy(update={"code_digest": "sha256:y"})) != key
    assert stage_key(_A, _INPUT, RUNTIME.model_copy(update={"config_digests": {"a": "sha256:other"}})) != key
    assert stage_key(StageSpec(name="a", ray=RayWorkload()), _INPUT, RUNTIME) != key


def test_the_configuration_of_other_stages_does_not_enter_the_key() -> None:
    other = RUNTIME.model_copy(update={"config_digests": {**RUNTIME.config_digests, "b": "sha256:changed"}})
    assert stage_key(_A, _INPUT, other) == stage_key(_A, _INPUT, RUNTIME)


def test_what_pods_ask_for_does_not_enter_the_key() -> None:
    patient = StageSpec(name="a", job=JobWorkload(pod=PodSettings(requests={"cpu": "4"})))
    assert stage_key(patient, _INPUT, RUNTIME) == stage_key(_A, _INPUT, RUNTIME)
