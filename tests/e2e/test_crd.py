"""What the API server makes of MimoPipelines: refusals with field and remedy, defaults, what the start fixes."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from operators.mimo_pipeline.crd import crd
from tests.e2e.kube import Cluster, CommandError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

# Its own for each run: a deleted one takes a while to go.
_NAMESPACE = f"mimo-crd-{uuid.uuid4().hex[:6]}"
_CRD = "mimopipelines.mimo.dev"
_Object = dict[str, Any]


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace of its own, and the CRD; each goes again if it was not there before."""
    had_crd = cluster.get("crd", _CRD, "default") is not None
    if not had_crd:
        cluster.apply(crd())
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{_CRD}", "--timeout=30s")
    cluster.kubectl("create", "namespace", _NAMESPACE)
    yield cluster
    cluster.kubectl("delete", "namespace", _NAMESPACE, "--wait=false")
    if not had_crd:
        cluster.kubectl("delete", "crd", _CRD)


def _pipeline(name: str = "demo") -> _Object:
    """a -> b, and c."""
    stages = [{"name": "a", "job": {}}, {"name": "b", "pytorch": {"numNodes": 2}, "dependsOn": ["a"]}, {"name": "c"}]
    return {
        "apiVersion": "mimo.dev/v1alpha1",
        "kind": "MimoPipeline",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": {"profile": "tiny", "stages": stages},
    }


def _create(server: Cluster, body: _Object) -> str:
    return server.kubectl("create", "--validate=strict", "-f", "-", stdin=json.dumps(body))


def _refusal(action: Callable[[], str]) -> str:
    with pytest.raises(CommandError) as caught:
        action()
    return str(caught.value)


def _stage(number: int, **fields: Any) -> Callable[[_Object], None]:
    return lambda body: body["spec"]["stages"][number].update(fields)


def _spec(**fields: Any) -> Callable[[_Object], None]:
    return lambda body: body["spec"].update(fields)


def _name(name: str) -> Callable[[_Object], None]:
    return lambda body: body["metadata"].update(name=name)


_REFUSED = {
    "two stages of one name": (_stage(2, name="a"), "spec.stages[2]: Duplicate value"),
    "unknown dependency": (_stage(2, dependsOn=["x"]), "dependsOn names a stage that is not in spec.stages"),
    "the stage itself": (_stage(2, dependsOn=["c"]), "spec.stages[2].dependsOn: Invalid value"),
    "each other": (_stage(0, dependsOn=["b"]), "two stages depend on each other; remove one dependsOn"),
    "a dependency twice": (_stage(2, dependsOn=["a", "a"]), "spec.stages[2].dependsOn[1]: Duplicate value"),
    "two kinds": (_stage(1, ray={}), "more than one of job, pytorch and ray is set; keep exactly one"),
    "unknown input": (_stage(2, inputs=["base"]), "inputs of a stage names no entry of spec.inputs"),
    "stage and input": (
        lambda body: (
            body["spec"].update(inputs=[{"name": "a", "uri": "s3://m/a", "digest": "sha256:1"}]),
            _stage(2, dependsOn=["a"], inputs=["a"])(body),
        ),
        "a name is in both dependsOn and inputs",
    ),
    "back-off": (
        _stage(0, retry={"backoffSeconds": 10, "maxBackoffSeconds": 5}),
        "spec.stages[0].retry.maxBackoffSeconds: Invalid value",
    ),
    "no approval of that stage": (_spec(approvals=[{"stage": "x", "key": "k"}]), "approvals names a stage"),
    "no retry of that stage": (_spec(retry={"from": "x", "nonce": "1"}), "retry.from names a stage"),
    "long names": (
        lambda body: (_name("p" * 41)(body), _stage(2, name="cc")(body)),
        "metadata.name and a stage name have more than 42 characters together; shorten one",
    ),
    "a longer name": (_name("p" * 42), "metadata.name"),
    "a name with a dot": (_name("demo.v1"), "metadata.name must start with a letter"),
    "no stages": (_spec(stages=[]), "spec.stages"),
    "no profile": (lambda body: body["spec"].pop("profile"), "spec.profile: Required value"),
    "a quantity": (_stage(0, job={"pod": {"limits": {"memory": "3 GB"}}}), "spec.stages[0].job.pod.limits.memory"),
    "a choice": (_stage(0, approval="maybe"), 'spec.stages[0].approval: Unsupported value: "maybe"'),
    "a range": (_spec(maxParallelStages=0), "spec.maxParallelStages"),
    "a misspelt field": (_stage(1, dependOn=["a"]), 'unknown field "spec.stages[1].dependOn"'),
}


@pytest.mark.parametrize("case", sorted(_REFUSED))
def test_a_wrong_spec_is_refused_with_field_and_reason(server: Cluster, case: str) -> None:
    change, wanted = _REFUSED[case]
    body = _pipeline("refused")
    change(body)
    assert wanted in _refusal(lambda: _create(server, body))


def test_names_of_42_characters_together_are_accepted(server: Cluster) -> None:
    _create(server, _pipeline("p" * 41))


def test_defaults_are_filled_in_and_null_is_like_nothing(server: Cluster) -> None:
    body = _pipeline("defaults")
    body["spec"]["stages"][0] |= {"pytorch": None, "gate": None}
    _create(server, body)
    found = server.get("mp", "defaults", _NAMESPACE)
    assert found is not None
    assert (found["spec"]["maxParallelStages"], found["spec"]["suspend"]) == (1, False)
    assert found["spec"]["stages"][1]["pytorch"]["numProcsPerNode"] == 1


def _started(server: Cluster, name: str) -> _Object:
    body = _pipeline(name)
    _create(server, body)
    status = {
        "phase": "Running",
        "startedAt": "2026-01-01T12:00:00.123456Z",
        "currentStage": "b",
        "progress": "12/40",
        "attempt": 2,
        "mlflow": "http://mlflow/#/runs/1",
        "runtime": {"config": {"any": {"deep": [1, None, "x"]}}},
    }
    patch = json.dumps({"status": status})
    server.kubectl("patch", "mp", name, "-n", _NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)
    return body


def _patch(server: Cluster, name: str, spec: _Object) -> str:
    return server.kubectl("patch", "mp", name, "-n", _NAMESPACE, "--type=merge", "-p", json.dumps({"spec": spec}))


def test_after_the_start_only_the_controls_may_change(server: Cluster) -> None:
    stages = deepcopy(_started(server, "fixed")["spec"]["stages"])
    stages[1]["pytorch"]["numNodes"] = 3
    changes: dict[str, Any] = {
        "profile": "smol",
        "overrides": ["seed=1"],
        "stages": stages,
        "inputs": [{"name": "x", "uri": "s3://m/x", "digest": "sha256:1"}],
        "storage": {"uri": "s3://other", "secret": "other"},
        "tracking": {"uri": "http://other"},
        "maxParallelStages": 2,
        "queueName": "other",
    }
    for field, value in changes.items():
        text = _refusal(lambda field=field, value=value: _patch(server, "fixed", {field: value}))
        assert f"spec.{field} cannot change after the start; only suspend, cancel, retry, approvals" in text
    controls = {
        "suspend": True,
        "retry": {"from": "a", "nonce": "1"},
        "approvals": [{"stage": "a", "key": "sha256:1"}],
        "ttlSecondsAfterFinished": 60,
    }
    _patch(server, "fixed", controls)
    _patch(server, "fixed", {"cancel": True})


def test_before_the_start_everything_may_change(server: Cluster) -> None:
    _create(server, _pipeline("open"))
    _patch(server, "open", {"profile": "smol", "maxParallelStages": 2, "storage": {"uri": "s3://x", "secret": "y"}})


def test_the_table_shows_where_a_pipeline_stands(server: Cluster) -> None:
    _started(server, "shown")
    header, row = server.kubectl("get", "mp", "shown", "-n", _NAMESPACE).splitlines()
    assert header.split() == ["NAME", "PHASE", "STAGE", "PROGRESS", "ATTEMPT", "AGE"]
    assert row.split()[:5] == ["shown", "Running", "b", "12/40", "2"]
    wide = server.kubectl("get", "ml", "-n", _NAMESPACE, "-o", "wide")
    assert wide.splitlines()[0].split()[-2:] == ["MESSAGE", "MLFLOW"]
    assert "http://mlflow/#/runs/1" in wide


def test_free_configuration_in_the_status_is_kept_as_it_is(server: Cluster) -> None:
    _started(server, "kept")
    found = server.get("mp", "kept", _NAMESPACE)
    assert found is not None
    assert found["status"]["runtime"]["config"] == {"any": {"deep": [1, None, "x"]}}


def _mimo(server: Cluster, *arguments: str) -> str:
    return server.run(sys.executable, "-m", "jobs.cli", *arguments, "-n", _NAMESPACE)


def test_submit_creates_what_status_shows_and_controls_change(server: Cluster) -> None:
    text = _mimo(server, "submit", "--profile", "tiny", "--override", "@demo-ci", "--name", "cli")
    assert f"created mimopipeline cli in namespace {_NAMESPACE}" in text
    assert "exit 2" in (again := _refusal(lambda: _mimo(server, "submit", "--profile", "tiny", "--name", "cli")))
    assert f"error: metadata.name: cli exists in namespace {_NAMESPACE}; choose another one with --name" in again
    assert f"{_NAMESPACE}/cli/" in _mimo(server, "status", "--pipeline", "cli")
    for command, field in (("suspend", "suspend"), ("cancel", "cancel")):
        _mimo(server, command, "--pipeline", "cli")
        assert server.get("mp", "cli", _NAMESPACE)["spec"][field] is True
    _mimo(server, "resume", "--pipeline", "cli")
    assert server.get("mp", "cli", _NAMESPACE)["spec"]["suspend"] is False


def test_the_command_line_passes_the_refusals_of_the_server_on(server: Cluster) -> None:
    missing = _refusal(lambda: _mimo(server, "status", "--pipeline", "nowhere"))
    assert "exit 2" in missing
    assert f"--pipeline: no nowhere in namespace {_NAMESPACE}" in missing
    no_namespace = _refusal(
        lambda: server.run(sys.executable, "-m", "jobs.cli", "submit", "--name", "x", "-n", "no-such-namespace")
    )
    assert "kubectl create ns no-such-namespace" in no_namespace
