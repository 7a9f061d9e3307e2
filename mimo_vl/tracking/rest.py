"""How to talk to an MLflow server: its REST interface, called directly.

The mlflow package costs 1.4 s and 160 MiB in every process and retries for minutes; a stage needs ten calls with short
deadlines. Paths and fields: https://mlflow.org/docs/latest/rest-api.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

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
        host = parts.netloc.rpartition("@")[2]
        self._base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        credentials = f"{parts.username}:{parts.password or ''}" if parts.username else None
        headers = urllib3.make_headers(basic_auth=credentials, user_agent="mimo-vl") if credentials else {}
        timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._http = urllib3.PoolManager(timeout=timeout, retries=False, headers=headers)

    @property
    def uri(self) -> str:
        """Without credentials."""
        return self._base

    def get(self, path: str, **query: str) -> dict[str, Any]:
        return self._call("GET", f"{path}?{urlencode(query)}", None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        url = f"{self._base}/api/2.0/mlflow/{path}"
        try:
            response = self._http.request(method, url, json=body)
        except urllib3.exceptions.HTTPError as error:
            raise TrackingUnavailableError(f"tracking server {self._base}: {type(error).__name__}") from error
        if response.status == _TOO_MANY_REQUESTS or response.status >= _FIRST_SERVER_ERROR:
            raise TrackingUnavailableError(f"tracking server {self._base}: {path} answered HTTP {response.status}")
        answer = _parse(response.data)
        if response.status != 200:
            code = str(answer.get("error_code", response.status))
            raise TrackingRejectedError(f"tracking server: {path}: {code}: {answer.get('message', '')}", code)
        return answer


def _parse(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data or b"{}")
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
