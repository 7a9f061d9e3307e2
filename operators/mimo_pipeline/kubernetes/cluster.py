"""The only I/O with the Kubernetes API: a few verbs over plain dicts, and one error type that says what failed.

Blocking; called from worker threads. Every request has a time limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from mimo_vl.errors import ServiceUnavailableError
from operators.mimo_pipeline.kubernetes.resources import Resource

FIELD_MANAGER = "mimo-operator"
# A field that the server does not know is refused: dropped silently, it would be written again for ever.
_WRITING = (("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict"))
_CONNECT_S, _READ_S = 5.0, 30.0
_HTTP_BAD_REQUEST, _HTTP_FORBIDDEN, _HTTP_NOT_FOUND, _HTTP_CONFLICT, _HTTP_INVALID = 400, 403, 404, 409, 422

Object: TypeAlias = dict[str, Any]
Objects: TypeAlias = list[Object]


class ApiError(ServiceUnavailableError):
    """`status` 0: no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"Kubernetes API: {status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message

    @property
    def is_not_found(self) -> bool:
        return self.status == _HTTP_NOT_FOUND

    @property
    def is_already_there(self) -> bool:
        return self.status == _HTTP_CONFLICT and self.reason == "AlreadyExists"

    @property
    def is_conflict(self) -> bool:
        """Somebody wrote the object meanwhile."""
        return self.status == _HTTP_CONFLICT and self.reason != "AlreadyExists"

    @property
    def is_refusal(self) -> bool:
        """The object itself is not admitted. A webhook that does not answer (500) refuses nothing."""
        return self.is_malformed or self.status == _HTTP_FORBIDDEN

    @property
    def is_malformed(self) -> bool:
        """A field that the server does not know, or a value that its schema does not allow."""
        return self.status in (_HTTP_BAD_REQUEST, _HTTP_INVALID)


class Api(Protocol):
    """Namespaced resources only."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object: ...

    def list(self, resource: Resource, namespace: str, selector: str = "", fields: str = "") -> Objects:
        """As the API server has it now, not from a cache. `selector` is of labels, `fields` of fields."""
        ...

    def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Object: ...

    def apply(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Object:
        """Server-side apply: only the fields in `body` are ours."""
        ...

    def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any], subresource: str = "") -> Object:
        """Conditional: a conflict if metadata.resourceVersion is no longer the current one."""
        ...

    def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_s: int | None = None
    ) -> None:
        """Dependents first. `uid`: only this very object. Deleting what is gone is no error."""
        ...

    def is_served(self, resource: Resource) -> bool: ...


class KubernetesApi:
    """Api over the official client, with the credentials of the pod or of $KUBECONFIG."""

    def __init__(self, client: Any, *, connect_s: float = _CONNECT_S, read_s: float = _READ_S) -> None:
        self._client, self._limits_s = client, (connect_s, read_s)

    def with_limits(self, *, connect_s: float, read_s: float) -> KubernetesApi:
        """The same connection with other time limits of a request."""
        return KubernetesApi(self._client, connect_s=connect_s, read_s=read_s)

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        return self._call("GET", resource.path(namespace, name))

    def list(self, resource: Resource, namespace: str, selector: str = "", fields: str = "") -> Objects:
        query = [(name, value) for name, value in (("labelSelector", selector), ("fieldSelector", fields)) if value]
        found = self._call("GET", resource.path(namespace), query=query)["items"]
        # Items of a list do not say what they are.
        return [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in found]

    def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Object:
        return self._call("POST", resource.path(namespace), body=body, query=_WRITING)

    def apply(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Object:
        path, query = resource.path(namespace, body["metadata"]["name"]), [*_WRITING, ("force", "true")]
        return self._call("PATCH", path, body=body, query=query, content_type="application/apply-patch+yaml")

    def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any], subresource: str = "") -> Object:
        path = resource.path(namespace, body["metadata"]["name"], subresource)
        return self._call("PUT", path, body=body, query=_WRITING)

    def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_s: int | None = None
    ) -> None:
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            self._call("DELETE", resource.path(namespace, name), body=options)
        except ApiError as error:
            if not error.is_not_found:
                raise

    def is_served(self, resource: Resource) -> bool:
        try:
            found = self._call("GET", resource.base_path)
        except ApiError as error:
            if error.is_not_found:
                return False
            raise
        return any(r["name"] == resource.plural for r in found.get("resources") or ())

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
    ) -> Object:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self._client.call_api(
                path,
                method,
                query_params=[*query],
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=self._limits_s,
            )
            answer: Object = json.loads(response.data)
            return answer
        except ApiException as error:
            raise _explained(error) from None
        except HTTPError as error:
            raise ApiError(0, "Unreachable", f"{type(error).__name__} at {method} {path}") from None


def _explained(error: Any) -> ApiError:
    try:
        status = json.loads(error.body)
        return ApiError(error.status, status.get("reason") or error.reason, status.get("message") or "")
    except (TypeError, ValueError):
        return ApiError(error.status or 0, str(error.reason), "")


def connect(context: str | None = None) -> KubernetesApi:
    """In a pod: its ServiceAccount; elsewhere: the kubeconfig."""
    from kubernetes import client, config

    try:
        config.load_incluster_config()
    except config.ConfigException:
        config.load_kube_config(context=context)
    configuration = client.Configuration.get_default_copy()
    configuration.retries = 0
    return KubernetesApi(client.ApiClient(configuration))
