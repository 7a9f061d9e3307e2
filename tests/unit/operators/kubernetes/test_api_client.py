"""Refusals of an API server, each as one clear line of the right kind."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import pytest
from urllib3.exceptions import MaxRetryError, NewConnectionError

from mimo_vl.errors import ConfigError, InputError, ServiceUnavailableError
from operators.mimo_pipeline.kubernetes.api_client import (
    ChangedMeanwhileError,
    KubernetesPipelineClient,
    connect,
    explain,
    pod_behind,
)

_CAUSES = [
    {"field": "spec.profile", "message": "Required value", "reason": "FieldValueRequired"},
    {"field": "spec.stages[0].dependsOn", "message": "Invalid value: names the stage itself; remove it"},
]


def _status(**fields) -> str:
    return json.dumps({"kind": "Status", "status": "Failure", **fields})


def test_every_cause_of_an_invalid_object_is_a_line_with_its_field() -> None:
    error = explain(422, _status(reason="Invalid", message="all in one", details={"causes": _CAUSES}), "train")
    assert isinstance(error, ConfigError)
    assert str(error).splitlines() == [
        "spec.profile: Required value",
        "spec.stages[0].dependsOn: Invalid value: names the stage itself; remove it",
    ]


def test_a_failed_test_of_a_patch_means_changed_meanwhile() -> None:
    assert isinstance(explain(422, _status(reason="Invalid", message="x"), "train"), ChangedMeanwhileError)
    assert isinstance(explain(409, _status(reason="Conflict", message="x"), "train"), ChangedMeanwhileError)


def test_an_existing_name_asks_for_another() -> None:
    error = explain(409, _status(reason="AlreadyExists", details={"name": "tiny"}), "train")
    assert isinstance(error, ConfigError)
    assert str(error) == "metadata.name: tiny exists in namespace train; choose another one with --name"


def test_a_misspelt_field_is_named() -> None:
    message = 'strict decoding error: unknown field "spec.stagess"'
    error = explain(400, _status(reason="BadRequest", message=message), "train")
    assert isinstance(error, ConfigError)
    assert str(error) == message


def test_a_cluster_without_the_resource_says_how_to_install_it() -> None:
    error = explain(404, "404 page not found\n", "train")
    assert isinstance(error, ConfigError)
    assert "helm install mimo-pipeline" in str(error)


def test_what_is_not_there_is_told_apart() -> None:
    missing = explain(404, _status(details={"name": "demo", "kind": "mimopipelines"}), "train")
    namespace = explain(404, _status(details={"name": "train", "kind": "namespaces"}), "train")
    pod = explain(404, _status(details={"name": "p", "kind": "pods"}, message='pods "p" not found'), "train")
    assert isinstance(missing, InputError)
    assert str(missing).startswith("--pipeline: no demo in namespace train")
    assert "kubectl create ns train" in str(namespace)
    assert str(pod) == 'pods "p" not found'


def test_missing_rights_are_a_permanent_error_and_an_overloaded_server_is_not() -> None:
    forbidden = explain(403, _status(message='cannot create resource "mimopipelines"'), "train")
    assert isinstance(forbidden, ConfigError)
    assert 'cannot create resource "mimopipelines"; ask for a Role' in str(forbidden)
    assert isinstance(explain(503, "etcd is away", "train"), ServiceUnavailableError)
    assert isinstance(explain(429, _status(message="slow down"), "train"), ServiceUnavailableError)


class _Api:
    """Records the call and answers, or fails."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer, self.calls = answer, []
        self.configuration = SimpleNamespace(host="https://127.0.0.1:6443")

    def call_api(self, path, method, **options):
        self.calls.append((method, path, options))
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(data=self.answer)


def test_writes_ask_the_server_to_refuse_unknown_fields() -> None:
    api = _Api(b'{"metadata": {"name": "tiny"}}')
    client = KubernetesPipelineClient(api, "train")
    client.create({"metadata": {"name": "tiny"}})
    client.patch("tiny", [{"op": "test"}])
    (post, created, created_with), (patch, patched, patched_with) = api.calls
    path = "/apis/mimo.dev/v1alpha1/namespaces/train/mimopipelines"
    assert (post, created, patch, patched) == ("POST", path, "PATCH", f"{path}/tiny")
    assert ("fieldValidation", "Strict") in created_with["query_params"]
    assert ("fieldValidation", "Strict") in patched_with["query_params"]
    assert patched_with["header_params"]["Content-Type"] == "application/json-patch+json"


def test_pods_are_selected_by_label_and_a_log_is_text() -> None:
    api = _Api(b'{"items": [{"metadata": {"name": "p"}}]}')
    assert KubernetesPipelineClient(api, "train").pods("a=b") == [{"metadata": {"name": "p"}}]
    assert api.calls[0][2]["query_params"] == [("labelSelector", "a=b")]
    assert KubernetesPipelineClient(_Api(b"loss \xff\n"), "train").pod_log("p") == "loss \ufffd\n"


def test_a_log_can_be_asked_for_since_a_time_and_with_the_times_of_its_lines() -> None:
    api = _Api(b"2026-01-01T12:00:03.5Z loss\n")
    client = KubernetesPipelineClient(api, "train")
    assert client.stamped_pod_log("p", "") == "2026-01-01T12:00:03.5Z loss\n"
    client.stamped_pod_log("p", "2026-01-01T12:00:03Z")
    assert [call[2]["query_params"] for call in api.calls] == [
        [("timestamps", "true")],
        [("timestamps", "true"), ("sinceTime", "2026-01-01T12:00:03Z")],
    ]


def test_a_cluster_that_does_not_answer_is_named_with_its_address() -> None:
    refused = NewConnectionError(None, "Failed to establish a new connection: [Errno 111] Connection refused")
    client = KubernetesPipelineClient(_Api(MaxRetryError(None, "/", refused)), "train")
    with pytest.raises(ServiceUnavailableError, match=r"https://127.0.0.1:6443 does not answer .*Connection refused"):
        client.get("tiny")


def _kubeconfig(tmp_path):
    path = tmp_path / "config"
    context = {"cluster": "c", "user": "u"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [
            {"name": "one", "context": {**context, "namespace": "train"}},
            {"name": "two", "context": context},
        ],
    }
    path.write_text(json.dumps(content))
    return path


def test_the_namespace_is_the_one_given_else_that_of_the_context(tmp_path) -> None:
    path = _kubeconfig(tmp_path)
    assert connect(kubeconfig=path, context="", namespace="").namespace == "train"
    assert connect(kubeconfig=path, context="two", namespace="").namespace == "default"
    assert connect(kubeconfig=path, context="", namespace="mine").namespace == "mine"


def test_a_missing_kubeconfig_and_an_unknown_context_are_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="--kubeconfig: no usable cluster in"):
        connect(kubeconfig=tmp_path / "nothing", context="", namespace="")
    with pytest.raises(ConfigError, match="--context: 'three' is not in the kubeconfig; it has one, two"):
        connect(kubeconfig=_kubeconfig(tmp_path), context="three", namespace="")


def _pod(name: str, phase: str = "Running", **ports: int) -> dict:
    listed = [{"name": port, "containerPort": number} for port, number in ports.items()]
    return {"metadata": {"name": name}, "status": {"phase": phase}, "spec": {"containers": [{"ports": listed}]}}


def test_a_service_leads_to_a_running_pod_and_the_port_of_its_container() -> None:
    named, numbered = {"port": 9000, "targetPort": "s3"}, {"port": 80, "targetPort": 8080}
    pods = [_pod("old", "Succeeded", s3=1), _pod("new", s3=9100)]
    assert pod_behind("minio", [named, numbered], pods, 9000) == ("new", 9100)
    assert pod_behind("minio", [named, numbered], pods, 80) == ("new", 8080)
    # Without a target port it is the same.
    assert pod_behind("minio", [{"port": 5000}], pods, 5000) == ("new", 5000)


def test_a_service_without_pods_or_port_says_which() -> None:
    with pytest.raises(InputError, match="no running pod with port s3 behind it"):
        pod_behind("minio", [{"port": 9000, "targetPort": "s3"}], [_pod("old", "Pending", s3=1)], 9000)
    with pytest.raises(InputError, match=r"no port 9001; it has \[9000\]"):
        pod_behind("minio", [{"port": 9000}], [], 9001)


def test_a_secret_is_decoded() -> None:
    body = json.dumps({"data": {"AWS_ACCESS_KEY_ID": base64.b64encode(b"stages").decode()}}).encode()
    called: list[str] = []

    def call_api(path, method, **_):
        called.append(f"{method} {path}")
        return SimpleNamespace(data=body)

    found = KubernetesPipelineClient(SimpleNamespace(call_api=call_api), "train").secret("mimo-store")
    assert found == {"AWS_ACCESS_KEY_ID": "stages"}
    assert called == ["GET /api/v1/namespaces/train/secrets/mimo-store"]


def test_a_followed_log_is_text_although_bytes_of_a_letter_come_apart() -> None:
    asked: list[list[tuple[str, str]]] = []

    def call_api(path, method, *, query_params, **_):
        asked.append(query_params)
        return SimpleNamespace(stream=lambda **_: iter([b"loss \xe2\x86", b"\x93 0.5\n"]))

    client = KubernetesPipelineClient(SimpleNamespace(call_api=call_api), "train")
    assert "".join(client.follow_pod_log("p")) == "loss ↓ 0.5\n"
    assert asked == [[("follow", "true")]]
