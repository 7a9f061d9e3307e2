"""A user's connection to a cluster: MimoPipelines and the logs of their pods; every refusal is one clear line."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from mimo_vl.errors import ConfigError, InputError, MimoError, ServiceUnavailableError
from operators.mimo_pipeline.api import GROUP, KIND, PLURAL, VERSION

Object = dict[str, Any]

_FIELD_MANAGER = "mimo-cli"
_TIMEOUT_S = (5.0, 30.0)
# A stage may be silent for long, while a shard is read or a checkpoint written.
_FOLLOW_TIMEOUT_S = (5.0, 24 * 3600.0)
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _INVALID = 401, 403, 404, 409, 422
_INSTALL = "helm install mimo-pipeline ./charts/mimo-pipeline"


class ChangedMeanwhileError(MimoError):
    """Somebody else wrote the object after it was read."""


class PipelineClient(Protocol):
    """What the command line needs of a cluster."""

    namespace: str

    def get(self, name: str) -> Object: ...

    def create(self, body: Object) -> Object: ...

    def patch(self, name: str, operations: Sequence[Mapping[str, Any]]) -> Object:
        """JSON patch. Raises ChangedMeanwhileError when a test in it does not hold."""
        ...

    def list_all(self) -> list[Object]:
        """The MimoPipelines of the namespace."""
        ...

    def pods(self, selector: str) -> list[Object]: ...

    def pod_log(self, pod: str) -> str: ...

    def stamped_pod_log(self, pod: str, since: str) -> str:
        """Each line with its time (RFC 3339) and a space in front; `since`: whole seconds, "" = all there is."""
        ...

    def follow_pod_log(self, pod: str) -> Iterator[str]:
        """What it has written and writes, until its container ends."""
        ...

    def config_maps(self, selector: str) -> list[Object]: ...

    def secret(self, name: str) -> dict[str, str]:
        """Its values, decoded."""
        ...

    def forward(self, service: str, namespace: str, port: int) -> AbstractContextManager[int]:
        """A port on loopback that leads to a running pod behind the Service."""
        ...


class KubernetesPipelineClient:
    """Raises ConfigError for what the user must change, ServiceUnavailableError when the cluster does not answer."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._api, self.namespace = api, namespace
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"

    def get(self, name: str) -> Object:
        return self._json("GET", f"{self._path}/{name}")

    def create(self, body: Object) -> Object:
        return self._json("POST", self._path, body=body, query=self._writing())

    def patch(self, name: str, operations: Sequence[Mapping[str, Any]]) -> Object:
        kind = "application/json-patch+json"
        return self._json("PATCH", f"{self._path}/{name}", body=list(operations), query=self._writing(), kind=kind)

    def list_all(self) -> list[Object]:
        return list(self._json("GET", self._path)["items"])

    def pods(self, selector: str) -> list[Object]:
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        return list(self._json("GET", path, query=[("labelSelector", selector)])["items"])

    def pod_log(self, pod: str) -> str:
        return self._log(pod)

    def stamped_pod_log(self, pod: str, since: str) -> str:
        return self._log(pod, ("timestamps", "true"), *([("sinceTime", since)] if since else []))

    def _log(self, pod: str, *query: tuple[str, str]) -> str:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        return self._call("GET", path, accept="*/*", query=query).decode(errors="replace")

    def follow_pod_log(self, pod: str) -> Iterator[str]:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        response = self._request("GET", path, accept="*/*", query=[("follow", "true")], timeout_s=_FOLLOW_TIMEOUT_S)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for chunk in response.stream(amt=None, decode_content=True):
            yield decoder.decode(chunk)

    def config_maps(self, selector: str) -> list[Object]:
        path = f"/api/v1/namespaces/{self.namespace}/configmaps"
        return list(self._json("GET", path, query=[("labelSelector", selector)])["items"])

    def secret(self, name: str) -> dict[str, str]:
        found = self._json("GET", f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
        return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}

    def forward(self, service: str, namespace: str, port: int) -> AbstractContextManager[int]:
        from operators.mimo_pipeline.kubernetes.port_forward import forwarded_port

        found = self._json("GET", f"/api/v1/namespaces/{namespace}/services/{service}")
        selector = ",".join(f"{key}={value}" for key, value in sorted((found["spec"].get("selector") or {}).items()))
        path = f"/api/v1/namespaces/{namespace}/pods"
        pods = self._json("GET", path, query=[("labelSelector", selector)])["items"] if selector else []
        pod, pod_port = pod_behind(service, found["spec"]["ports"], pods, port)
        return forwarded_port(self._api.configuration, namespace, pod, pod_port)

    def _writing(self) -> list[tuple[str, str]]:
        return [("fieldManager", _FIELD_MANAGER), ("fieldValidation", "Strict")]

    def _json(self, method: str, path: str, **options: Any) -> Object:
        answer: Object = json.loads(self._call(method, path, **options))
        return answer

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Sequence[tuple[str, str]] = (),
        kind: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        return bytes(self._request(method, path, body=body, query=query, kind=kind, accept=accept).data)

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Sequence[tuple[str, str]] = (),
        kind: str = "application/json",
        accept: str = "application/json",
        timeout_s: tuple[float, float] = _TIMEOUT_S,
    ) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return self._api.call_api(
                path,
                method,
                query_params=list(query),
                header_params={"Accept": accept, "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=timeout_s,
            )
        except ApiException as error:
            raise explain(error.status or 0, error.body or error.reason or "", self.namespace) from None
        except HTTPError as error:
            host = self._api.configuration.host
            raise ServiceUnavailableError(
                f"cluster: {host} does not answer ({_cause(error)}); is it up, and is it the one that "
                "--kubeconfig and --context name?"
            ) from None


def pod_behind(service: str, ports: Sequence[Object], pods: Sequence[Object], port: int) -> tuple[str, int]:
    """A running pod behind a Service and the port of its container that the Service's port means."""
    wanted = next((p.get("targetPort", port) for p in ports if p["port"] == port), None)
    if wanted is None:
        raise InputError(f"Service {service}: no port {port}; it has {[p['port'] for p in ports]}")
    running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
    for pod in running:
        named = [p for c in pod["spec"]["containers"] for p in c.get("ports") or () if p.get("name") == wanted]
        if isinstance(wanted, int) or named:
            number = wanted if isinstance(wanted, int) else named[0]["containerPort"]
            return pod["metadata"]["name"], int(number)
    raise InputError(f"Service {service}: no running pod with port {wanted} behind it; see: kubectl get pods")


def explain(code: int, body: str | bytes, namespace: str) -> MimoError:
    """The API server's refusal as an error of ours; field and reason are those of the server."""
    status = _status_of(body)
    message = str(status.get("message") or "").strip()
    details = status.get("details") or {}
    causes = details.get("causes") or []
    if code == _CONFLICT and status.get("reason") == "AlreadyExists":
        name = details.get("name", "")
        return ConfigError(f"metadata.name: {name} exists in namespace {namespace}; choose another one with --name")
    if code == _CONFLICT or (code == _INVALID and not causes):
        return ChangedMeanwhileError(f"the object was changed meanwhile: {message}; run the command again")
    if code == _INVALID:
        return ConfigError("\n".join(_cause_line(cause) for cause in causes))
    if code == _NOT_FOUND:
        return _not_found(details, message, namespace)
    if code in (_UNAUTHORISED, _FORBIDDEN):
        return ConfigError(f"the cluster refuses: {message or code}; ask for a Role that allows it, or use --context")
    if code in (0, 429) or code >= 500:
        return ServiceUnavailableError(f"cluster: {code} {message or _text(body)}; try again")
    return ConfigError(message or _text(body))


def connect(*, kubeconfig: Path | None, context: str, namespace: str) -> KubernetesPipelineClient:
    """`context`, `namespace`: empty = those of the kubeconfig. Without `kubeconfig`: $KUBECONFIG, ~/.kube/config."""
    from kubernetes import client, config

    try:
        file = str(kubeconfig) if kubeconfig else None
        contexts, active = config.list_kube_config_contexts(config_file=file)
        chosen = next((c for c in contexts if c["name"] == context), None) if context else active
        if chosen is None:
            known = ", ".join(sorted(c["name"] for c in contexts))
            raise ConfigError(f"--context: {context!r} is not in the kubeconfig; it has {known}")
        api = config.new_client_from_config(config_file=file, context=chosen["name"])
    except config.ConfigException as error:
        where = kubeconfig or "$KUBECONFIG or ~/.kube/config"
        raise ConfigError(f"--kubeconfig: no usable cluster in {where} ({error}); name the file of yours") from error
    api.configuration.retries = 0
    _rebuild_pool(api, client)
    return KubernetesPipelineClient(api, namespace or chosen["context"].get("namespace") or "default")


def _rebuild_pool(api: Any, client: Any) -> None:
    """The pool of connections takes its number of retries when it is made."""
    api.rest_client = client.rest.RESTClientObject(api.configuration)


def _status_of(body: str | bytes) -> Object:
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def _text(body: str | bytes) -> str:
    return (body.decode(errors="replace") if isinstance(body, bytes) else body).strip()[:500]


def _cause_line(cause: Mapping[str, Any]) -> str:
    """`spec.profile: Required value`"""
    return ": ".join(part for part in (cause.get("field"), cause.get("message")) if part)


def _not_found(details: Mapping[str, Any], message: str, namespace: str) -> MimoError:
    name, kind = details.get("name"), details.get("kind")
    if kind == "namespaces":
        return ConfigError(f"--namespace: the cluster has no namespace {name}; create it: kubectl create ns {name}")
    if not name:
        return ConfigError(f"the cluster does not know {KIND} ({GROUP}/{VERSION}); install it with: {_INSTALL}")
    if kind == PLURAL:
        return InputError(f"--pipeline: no {name} in namespace {namespace}; list them with: kubectl get mp -A")
    return InputError(message)


def _cause(error: BaseException) -> str:
    """The reason at the bottom of urllib3's chain."""
    reason = getattr(error, "reason", None) or error
    return f"{type(reason).__name__}: {str(reason).rsplit(': ', 1)[-1]}"
