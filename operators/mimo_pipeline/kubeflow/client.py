"""The REST API v2beta1 of Kubeflow Pipelines: the few calls that steps and operator need, with token and retries."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from mimo_vl.errors import ServiceUnavailableError

logger = logging.getLogger(__name__)

_API = "/apis/v2beta1"
_TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
# Of a call that may be repeated, with the pauses between them.
_TRIES = 4
_FIRST_PAUSE_S = 0.5
_NOT_FOUND, _CONFLICT, _TOO_MANY, _SERVER_ERROR = 404, 409, 429, 500


class RunState(StrEnum):
    UNSPECIFIED = "RUNTIME_STATE_UNSPECIFIED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    PAUSED = "PAUSED"


ENDED_STATES = frozenset({RunState.SUCCEEDED, RunState.SKIPPED, RunState.FAILED, RunState.CANCELED})


class KubeflowApiError(ServiceUnavailableError):
    """`status` 0: no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Kubeflow Pipelines API: {status or 'no answer'}: {message}")
        self.status = status

    @property
    def is_not_found(self) -> bool:
        return self.status == _NOT_FOUND

    @property
    def is_passing(self) -> bool:
        """The same call may succeed later."""
        return self.status == 0 or self.status == _TOO_MANY or self.status >= _SERVER_ERROR


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    run_id: str
    state: RunState = RunState.UNSPECIFIED


@dataclass(kw_only=True)
class KubeflowClient:
    """`token_file` is read for every call: mounted tokens are renewed. Empty = no token."""

    endpoint: str
    """Such as http://ml-pipeline.kubeflow.svc:8888"""
    token_file: Path | None = None
    tries: int = _TRIES
    """Of calls that may be repeated while there is no answer."""
    sleep: Callable[[float], None] = time.sleep
    _pool: urllib3.PoolManager = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A private authority is in SSL_CERT_FILE, which the ssl module reads.
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    def run(self, run_id: str) -> RunRecord:
        return _record(self._call("GET", f"/runs/{run_id}"))

    def find_run(self, experiment_id: str, display_name: str) -> RunRecord | None:
        """The newest run of this name."""
        query = {
            "experiment_id": experiment_id,
            "filter": _equals("display_name", display_name),
            "sort_by": "created_at desc",
            "page_size": "1",
        }
        found = self._call("GET", "/runs", query=query).get("runs") or []
        return _record(found[0]) if found else None

    def create_run(self, body: Mapping[str, Any]) -> RunRecord:
        """Not repeated when the answer is lost: look with find_run before the next try."""
        return _record(self._call("POST", "/runs", body=body, tries=1))

    def terminate_run(self, run_id: str) -> None:
        self._call("POST", f"/runs/{run_id}:terminate")

    def retry_run(self, run_id: str) -> None:
        """Its failed steps begin anew. Refused for a run that succeeded or has not ended."""
        self._call("POST", f"/runs/{run_id}:retry", tries=1)

    def experiment_id(self, name: str, namespace: str = "") -> str:
        """Of the experiment of this name, which is made if there is none. `namespace`: of multi-user installations."""
        where = {"namespace": namespace} if namespace else {}
        query = {"filter": _equals("display_name", name), "page_size": "1", **where}
        found = self._call("GET", "/experiments", query=query).get("experiments") or []
        if found:
            return _text(found[0], "experiment_id")
        made = self._call("POST", "/experiments", body={"display_name": name, **where}, tries=1)
        return _text(made, "experiment_id")

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        tries: int | None = None,
    ) -> dict[str, Any]:
        pause_s = _FIRST_PAUSE_S
        for left in reversed(range(tries or self.tries)):
            try:
                return self._once(method, path, query, body)
            except KubeflowApiError as error:
                if not left or not error.is_passing:
                    raise
                logger.warning("%s; trying again in %.1f s", error, pause_s)
            self.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("unreachable: the last try returns or raises")

    def _once(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        url = f"{self.endpoint.rstrip('/')}{_API}{path}"
        data = None if body is None else json.dumps(body)
        try:
            # With a body urllib3 puts `fields` nowhere, and no call here has both.
            response = self._pool.request(method, url, fields=query, body=data, headers=self._headers())
        except HTTPError as error:
            raise KubeflowApiError(0, f"{method} {path}: {error}") from None
        if response.status >= 300:
            raise KubeflowApiError(response.status, f"{method} {path}: {_message(response.data)}")
        return _object(response.data)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.token_file is not None:
            headers["Authorization"] = f"Bearer {_token(self.token_file)}"
        return headers


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise KubeflowApiError(0, f"no token in {path}: {error.strerror}") from error


def _record(run: Mapping[str, Any]) -> RunRecord:
    """A state of a later version is one that nothing is known of."""
    state = run.get("state")
    known = RunState(state) if state in set(RunState) else RunState.UNSPECIFIED
    return RunRecord(run_id=_text(run, "run_id"), state=known)


def _text(answer: Mapping[str, Any], name: str) -> str:
    if not isinstance(answer.get(name), str):
        raise KubeflowApiError(0, f"the answer has no {name}; is the endpoint that of the API server, v2beta1?")
    return str(answer[name])


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "string_value": value}]})


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data or b"{}")
    except ValueError:
        raise KubeflowApiError(0, f"not JSON: {data[:200]!r}; is the endpoint that of the API server?") from None
    return found if isinstance(found, dict) else {}


def _message(data: bytes) -> str:
    try:
        found = json.loads(data)
        return str(found.get("message") or found.get("error") or found)[:500]
    except (ValueError, AttributeError):
        return data.decode(errors="replace").strip()[:500]
