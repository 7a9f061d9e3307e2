"""The client's side of the API: paths, preconditions and what its errors mean. No server."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import ReadTimeoutError

from operators.mimo_pipeline.kubernetes.cluster import ApiError, KubernetesApi
from operators.mimo_pipeline.kubernetes.resources import CONFIG_MAPS, JOBS, PIPELINES, PODS, RAY_JOBS


class _Client:
    """Records calls; answers with what it was given."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = {} if answer is None else answer
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def call_api(self, path: str, method: str, **how: Any) -> Any:
        self.calls.append((method, path, how))
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(data=json.dumps(self.answer))


def _refusal(status: int, reason: str, message: str = "") -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = json.dumps({"kind": "Status", "reason": reason, "message": message})
    return error


def test_paths_of_core_and_grouped_resources() -> None:
    assert PODS.path("team", "p") == "/api/v1/namespaces/team/pods/p"
    assert PIPELINES.path("team", "x", "status") == "/apis/mimo.dev/v1alpha1/namespaces/team/mimopipelines/x/status"


def test_items_of_a_list_say_what_they_are() -> None:
    client = _Client({"items": [{"metadata": {"name": "a"}}]})
    [item] = KubernetesApi(client).list(JOBS, "team", "mimo.dev/pipeline=demo")
    assert (item["kind"], item["apiVersion"]) == ("Job", "batch/v1")
    assert client.calls[0][2]["query_params"] == [("labelSelector", "mimo.dev/pipeline=demo")]


def test_a_list_can_be_narrowed_by_fields() -> None:
    client = _Client({"items": []})
    KubernetesApi(client).list(PODS, "team", fields="type=Warning")
    assert client.calls[0][2]["query_params"] == [("fieldSelector", "type=Warning")]


def test_creates_are_checked_strictly_and_have_a_time_limit() -> None:
    client = _Client()
    KubernetesApi(client).create(JOBS, "team", {"metadata": {"name": "a"}})
    _, _, how = client.calls[0]
    assert ("fieldValidation", "Strict") in how["query_params"]
    assert how["_request_timeout"] == (5.0, 30.0)


def test_a_status_is_checked_strictly_too() -> None:
    client = _Client()
    KubernetesApi(client).replace(PIPELINES, "team", {"metadata": {"name": "a"}}, "status")
    method, path, how = client.calls[0]
    assert (method, path.rsplit("/", 1)[1]) == ("PUT", "status")
    assert ("fieldValidation", "Strict") in how["query_params"]


def test_requests_of_the_lease_have_their_own_time_limits() -> None:
    client = _Client()
    KubernetesApi(client).with_limits(connect_s=2.0, read_s=3.0).get(JOBS, "team", "a")
    assert client.calls[0][2]["_request_timeout"] == (2.0, 3.0)


def test_apply_is_a_patch_with_the_field_manager() -> None:
    client = _Client()
    KubernetesApi(client).apply(CONFIG_MAPS, "team", {"metadata": {"name": "a"}})
    method, _, how = client.calls[0]
    assert (method, how["body"]) == ("PATCH", {"metadata": {"name": "a"}})
    assert ("fieldManager", "mimo-operator") in how["query_params"]
    assert how["header_params"]["Content-Type"] == "application/apply-patch+yaml"


def test_deletion_takes_dependents_first_and_only_the_object_meant() -> None:
    client = _Client()
    KubernetesApi(client).delete(PODS, "team", "p", uid="u", grace_s=0)
    body = client.calls[0][2]["body"]
    assert (body["propagationPolicy"], body["gracePeriodSeconds"]) == ("Foreground", 0)
    assert body["preconditions"] == {"uid": "u"}


def test_deleting_what_is_gone_is_no_error() -> None:
    KubernetesApi(_Client(_refusal(404, "NotFound"))).delete(PODS, "team", "p")


@pytest.mark.parametrize(
    ("status", "reason", "claims"),
    [
        (404, "NotFound", "is_not_found"),
        (409, "AlreadyExists", "is_already_there"),
        (409, "Conflict", "is_conflict"),
        (403, "Forbidden", "is_refusal"),
        (422, "Invalid", "is_refusal"),
        # A webhook that does not answer, and throttling: neither refuses the object.
        (500, "InternalError", ""),
        (429, "TooManyRequests", ""),
    ],
)
def test_each_error_means_one_thing(status: int, reason: str, claims: str) -> None:
    with pytest.raises(ApiError) as caught:
        KubernetesApi(_Client(_refusal(status, reason, "why"))).get(JOBS, "team", "a")
    error, names = caught.value, ("is_not_found", "is_already_there", "is_conflict", "is_refusal")
    assert [name for name in names if getattr(error, name)] == ([claims] if claims else [])
    assert error.message == "why"


def test_no_answer_is_an_error_without_status() -> None:
    with pytest.raises(ApiError, match="ReadTimeoutError at GET") as caught:
        KubernetesApi(_Client(ReadTimeoutError(None, "/", "late"))).get(JOBS, "team", "a")  # type: ignore[arg-type]
    assert caught.value.status == 0


def test_a_kind_that_is_not_installed_is_not_served() -> None:
    assert not KubernetesApi(_Client(_refusal(404, "NotFound"))).is_served(RAY_JOBS)
    assert not KubernetesApi(_Client({"resources": [{"name": "rayclusters"}]})).is_served(RAY_JOBS)
    assert KubernetesApi(_Client({"resources": [{"name": "rayjobs"}]})).is_served(RAY_JOBS)
