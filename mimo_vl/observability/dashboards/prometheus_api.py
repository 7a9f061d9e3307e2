"""What a Prometheus answers to a query: series, from its HTTP API."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

from mimo_vl.errors import ConfigError, InputError, ServiceUnavailableError

_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Series:
    """`points`: (seconds since the epoch, value), in order of time; values that are not finite are left out."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    start_s: float
    end_s: float
    step_s: float


class QuerySource(Protocol):
    """Raises InputError for a query that is refused, ServiceUnavailableError if nobody answers."""

    def instant(self, expr: str, at_s: float) -> list[Series]: ...

    def range(self, expr: str, over: TimeRange) -> list[Series]: ...


class PrometheusApi:
    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ConfigError(f"--prometheus: got {url!r}, wanted an address such as http://127.0.0.1:9090")
        self._url = url.rstrip("/")

    def instant(self, expr: str, at_s: float) -> list[Series]:
        rows = self._ask("query", query=expr, time=at_s)
        return [series for row in rows if (series := _series(row["metric"], [row["value"]])).points]

    def range(self, expr: str, over: TimeRange) -> list[Series]:
        """Without series that have no finite value."""
        rows = self._ask("query_range", query=expr, start=over.start_s, end=over.end_s, step=over.step_s)
        return [series for row in rows if (series := _series(row["metric"], row["values"])).points]

    def _ask(self, what: str, **parameters: object) -> list[Any]:
        address = f"{self._url}/api/v1/{what}?{urlencode(parameters)}"
        try:
            with urlopen(address, timeout=_TIMEOUT_S) as answer:
                data = json.load(answer)["data"]
        except HTTPError as error:
            reason = _reason(error)
            if not reason:
                raise self._strange(error) from error
            raise InputError(f"query {parameters['query']!r}: {reason}") from error
        except (URLError, OSError, ValueError, KeyError, TypeError) as error:
            raise self._strange(error) from error
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        return list(data["result"])

    def _strange(self, error: Exception) -> ServiceUnavailableError:
        message = f"--prometheus: {self._url} does not answer as a Prometheus ({error}); is it running there?"
        return ServiceUnavailableError(message)


def _series(labels: Mapping[str, str], pairs: list[Any]) -> Series:
    points = tuple((float(at), float(text)) for at, text in pairs)
    return Series(labels=labels, points=tuple(p for p in points if math.isfinite(p[1])))


def _reason(error: HTTPError) -> str:
    """Prometheus's own word; "" = somebody else answered."""
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return ""
