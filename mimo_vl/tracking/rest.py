"""How to talk to an MLflow server: its REST interface, called directly.

The mlflow package costs 1.4 s and 160 MiB in every process and retries for minutes; a stage needs ten calls with short
deadlines. Paths and fields: https://mlflow.org/docs/latest/rest-api.html
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from mimo_vl.errors import RetryableError

_TOO_MANY_REQUESTS = 429
_FIRST_SERVER_ERROR = 500


class TrackingUnavailableError(RetryableError):
    """The server cannot be reached or is not able to answer now."""


class TrackingRejectedError(RetryableError):
    """The server refused this request and would refuse it again."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class MlflowRest:
    def __init__(self, uri: str, *, timeout_s: float) -> None:
        parts = urlsplit(uri)
        self._base = without_credentials(uri)
        credentials = f"{parts.username}:{parts.password or ''}" if parts.username else None
        self._headers = urllib3.make_headers(basic_auth=credentials, user_agent="mimo-vl") if credentials else {}
        timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._http = urllib3.PoolManager(timeout=timeout, retries=False)

    @property
    def uri(self) -> str:
        """Without credentials."""
        return self._base

    def get(self, path: str, **query: str) -> dict[str, Any]:
        return self._call("GET", f"{path}?{urlencode(query)}", None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("POST", path, body)

    def put_artifact(self, path: str, data: bytes) -> None:
        """`path` below the root of the server's artifact proxy. A second time replaces the file."""
        content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
        self._request("PUT", f"mlflow-artifacts/artifacts/{quote(path)}", data, content_type)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        return self._request(
            method, f"mlflow/{path}", None if body is None else json.dumps(body).encode(), "application/json"
        )

    def _request(self, method: str, path: str, body: bytes | None, content_type: str) -> dict[str, Any]:
        headers = {**self._headers, **({} if body is None else {"Content-Type": content_type})}
        try:
            response = self._http.request(method, f"{self._base}/api/2.0/{path}", body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise TrackingUnavailableError(f"tracking server {self._base}: {type(error).__name__}") from error
        if response.status == _TOO_MANY_REQUESTS or response.status >= _FIRST_SERVER_ERROR:
            raise TrackingUnavailableError(f"tracking server {self._base}: {path} answered HTTP {response.status}")
        answer = _parse(response.data)
        if response.status != 200:
            code = str(answer.get("error_code", response.status))
            raise TrackingRejectedError(f"tracking server: {path}: {code}: {answer.get('message', '')}", code)
        return answer


def without_credentials(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}" if parts.netloc else uri


def _parse(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data or b"{}")
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
