from __future__ import annotations

import pytest
import yaml

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import (
    InputSpec,
    JobWorkload,
    MimoPipelineSpec,
    PodSettings,
    PytorchWorkload,
    StageSpec,
)
from operators.mimo_pipeline.builders.rendered import render_all
from operators.mimo_pipeline.stage_graph import default_graph
from tests.fakes.clusters import facts_of


def _pipeline(*stages: StageSpec, inputs: tuple[InputSpec, ...] = ()) -> MimoPipelineSpec:
    return MimoPipelineSpec(profile="tiny", stages=stages, inputs=inputs)


def test_the_default_pipeline_gives_a_config_map_and_one_job_for_each_stage() -> None:
    spec = _pipeline(*default_graph())
    config_map, *jobs = render_all(spec, facts_of(), {"profile": "tiny"})
    assert config_map["metadata"]["name"] == "demo-0123abcd-config"
    assert yaml.safe_load(config_map["data"]["config.yaml"]) == {"profile": "tiny"}
    assert [j["metadata"]["name"] for j in jobs] == [f"demo-{s.name}-1" for s in spec.stages]
    kinds = {s.name: j["kind"] for s, j in zip(spec.stages, jobs, strict=True)}
    assert (kinds["base"], kinds["projector-warmup"], kinds["morl"]) == ("Job", "PyTorchJob", "RayJob")


def test_all_jobs_mount_the_config_map_of_the_pipeline() -> None:
    config_map, job = render_all(_pipeline(StageSpec(name="base")), facts_of(), {})
    (volume,) = [v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "config"]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    mounts = job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "config", "mountPath": "/etc/mimo", "readOnly": True} in mounts


def test_inputs_are_the_first_attempts_of_the_stages_before_and_what_the_spec_gives() -> None:
    given = InputSpec(name="base", uri="s3://models/base", digest="sha256:base")
    stages = (StageSpec(name="curate", inputs=("base",)), StageSpec(name="evaluate", depends_on=("curate",)))
    _, curate, evaluate = render_all(_pipeline(*stages, inputs=(given,)), facts_of(), {})
    assert '"base":{"digest":"sha256:base","uri":"s3://models/base"}' in _inputs(curate)
    assert '"uri":"s3://mimo/runs/train/demo/0123abcd/curate/attempt-1"' in _inputs(evaluate)


def _inputs(job) -> str:
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    return next(e["value"] for e in env if e["name"] == "MIMO_INPUTS")


def test_the_config_map_is_the_same_whatever_the_order_of_its_keys() -> None:
    spec = _pipeline(StageSpec(name="base"))
    one, other = ({"a": 1, "b": {"c": 0.1, "d": None}}, {"b": {"d": None, "c": 0.1}, "a": 1})
    assert render_all(spec, facts_of(), one)[0] == render_all(spec, facts_of(), other)[0]


def test_the_problems_of_all_stages_are_told_at_once() -> None:
    wrong = PodSettings(requests={"memory": "9Gi"})
    spec = _pipeline(
        StageSpec(name="curate", job=JobWorkload(pod=wrong)),
        StageSpec(name="evaluate"),
        StageSpec(name="projector-warmup", pytorch=PytorchWorkload(pod=wrong)),
    )
    with pytest.raises(ConfigError) as caught:
        render_all(spec, facts_of(), {})
    assert [line.partition(": got")[0] for line in str(caught.value).splitlines()] == [
        "stages[curate].job.pod.requests.memory",
        "stages[projector-warmup].pytorch.pod.requests.memory",
    ]
