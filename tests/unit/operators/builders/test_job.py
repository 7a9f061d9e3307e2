from __future__ import annotations

import pytest

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import JobWorkload, PodSettings, StageSpec
from operators.mimo_pipeline.builders.job import build_job
from tests.fakes.clusters import JOB, attempt_of, facts_of


def test_a_job_runs_one_pod_once() -> None:
    spec = build_job(attempt_of(JOB), JOB, facts_of())["spec"]
    template = spec.pop("template")
    assert spec == {"parallelism": 1, "completions": 1, "backoffLimit": 0, "podReplacementPolicy": "Failed"}
    assert template["spec"]["restartPolicy"] == "Never"


def test_the_pod_runs_the_launcher_with_the_module_of_the_stage() -> None:
    pod = build_job(attempt_of(JOB), JOB, facts_of())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["python", "-m", "jobs.launch", "--nproc", "1", "--", "jobs.curate"]
    # 90 s of the pod less 10 for the launcher itself
    assert {"name": "MIMO_GRACE_S", "value": "80"} in container["env"]
    assert pod["serviceAccountName"] == "mimo-trainer"


def test_a_stage_that_names_no_workload_is_a_job() -> None:
    stage = StageSpec(name="evaluate")
    assert build_job(attempt_of(stage), stage, facts_of())["metadata"]["name"] == "demo-evaluate-2"


def test_contradictions_name_the_field_of_the_spec() -> None:
    stage = JOB.model_copy(update={"job": JobWorkload(pod=PodSettings(requests={"memory": "4Gi"}))})
    # The limit, 3Gi, comes from the operator's settings.
    with pytest.raises(ConfigError, match=r"^stages\[curate\]\.job\.pod\.requests\.memory: got 4Gi, wanted at most"):
        build_job(attempt_of(stage), stage, facts_of())
