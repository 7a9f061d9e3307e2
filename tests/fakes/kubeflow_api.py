"""A server of Kubeflow Pipelines' REST API v2beta1: routes, query names and types come from the package kfp-server-api.

Every request is checked against them; a request that the published schema does not know is answered with 400 and kept
in `violations`.
"""

from __future__ import annotations

import inspect
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import kfp_server_api
from kfp_server_api.api import experiment_service_api, run_service_api

_SERVICES = (run_service_api.RunServiceApi, experiment_service_api.ExperimentServiceApi)
# What changes a run's state: from which ones, to which one.
_MOVES = {
    "run_service_terminate_run": (("PENDING", "RUNNING"), "CANCELING", "the run has ended"),
    "run_service_retry_run": (("FAILED", "CANCELED"), "RUNNING", "Workflow must be Failed/Error to retry"),
}
_PLAIN = {"str": str, "bool": bool, "int": int, "float": (int, float), "object": object, "datetime": str}


@dataclass(frozen=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    operation: str
    query: frozenset[str]
    body: str
    """Name of the model; "" = none."""


def routes() -> list[Route]:
    """Out of the generated client's methods."""
    found = []
    for service in _SERVICES:
        for name, function in inspect.getmembers(service, inspect.isfunction):
            if not name.endswith("_with_http_info"):
                continue
            source = inspect.getsource(function)
            [(path, method)] = re.findall(r"call_api\(\s*'([^']+)', '([A-Z]+)'", source)
            body = re.findall(r"body_params = local_var_params\['(\w+)'\]", source)
            kind = re.findall(rf":type {body[0]}: (\w+)", source)[0] if body else ""
            query = frozenset(re.findall(r"query_params\.append\(\('([^']+)'", source))
            pattern = re.compile(re.sub(r"\\{\w+\\}", r"([^/:]+)", re.escape(path)))
            found.append(Route(method, pattern, name.removesuffix("_with_http_info"), query, kind))
    return found


def problems_of(kind: str, value: Any, where: str = "") -> list[str]:
    """What in a JSON value the published model does not know or allow."""
    if kind.startswith("list["):
        return [p for i, v in enumerate(value) for p in problems_of(kind[5:-1], v, f"{where}[{i}]")]
    if kind.startswith("dict("):
        inner = kind[5:-1].split(", ", 1)[1]
        return [p for k, v in value.items() for p in problems_of(inner, v, f"{where}.{k}")]
    if kind in _PLAIN:
        return [] if isinstance(value, _PLAIN[kind]) else [f"{where}: {value!r} is no {kind}"]
    model = getattr(kfp_server_api, kind)
    if hasattr(model, "allowable_values"):
        return [] if value in model.allowable_values else [f"{where}: {value!r} is no {kind}"]
    types = {json_name: model.openapi_types[name] for name, json_name in model.attribute_map.items()}
    unknown = [f"{where}.{name}: not in {kind}" for name in value if name not in types]
    known = [p for name, v in value.items() if name in types for p in problems_of(types[name], v, f"{where}.{name}")]
    return unknown + known


class KubeflowApi:
    """Runs and experiments in memory. `failures`: statuses that the next requests are answered with."""

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.runs: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.violations: list[str] = []
        self.calls: list[str] = []
        self.failures: list[int] = []
        self.loses_answers = False
        """Does what is asked and hangs up."""
        self._routes = routes()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, target: str, headers: Mapping[str, str], data: bytes) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(target)
        for route in self._routes:
            match = route.pattern.fullmatch(parts.path)
            if match is None or route.method != method:
                continue
            self.calls.append(route.operation)
            if self.failures:
                return self.failures.pop(0), {"message": "the server is unwell"}
            if self.token and headers.get("Authorization") != f"Bearer {self.token}":
                return 401, {"message": "no or wrong token"}
            query, body = dict(parse_qsl(parts.query)), json.loads(data) if data else {}
            wrong = [f"query {name}" for name in query if name not in route.query]
            wrong += problems_of(route.body, body) if route.body else [f"a body: {body}"] * bool(data)
            if wrong:
                self.violations += [f"{route.operation}: {text}" for text in wrong]
                return 400, {"message": "; ".join(wrong)}
            return self._do(route.operation, match.groups(), query, body)
        self.violations.append(f"{method} {parts.path}: no such call")
        return 404, {"message": "no such call"}

    def _do(self, operation: str, names: tuple[str, ...], query: dict[str, str], body: dict) -> tuple[int, dict]:
        if operation == "experiment_service_create_experiment":
            return 200, self._add(self.experiments, "experiment_id", body)
        if operation == "experiment_service_list_experiments":
            return 200, {"experiments": _selected(self.experiments, query)}
        if operation == "run_service_create_run":
            if body.get("experiment_id") not in self.experiments:
                return 404, {"message": "no such experiment"}
            return 200, self._add(self.runs, "run_id", {**body, "state": "PENDING"})
        if operation == "run_service_list_runs":
            return 200, {"runs": _selected(self.runs, query)}
        if names and names[0] not in self.runs:
            return 404, {"message": f"no run {names[0]}"}
        if operation == "run_service_get_run":
            return 200, self.runs[names[0]]
        if operation in _MOVES:
            before, after, refusal = _MOVES[operation]
            if self.runs[names[0]]["state"] not in before:
                return 400, {"message": refusal}
            self.runs[names[0]]["state"] = after
            return 200, {}
        return 501, {"message": f"{operation} is not played"}

    def _add(self, where: dict[str, dict], name: str, body: dict[str, Any]) -> dict[str, Any]:
        number = f"{name.removesuffix('_id')}-{len(where) + 1}"
        where[number] = {**body, name: number}
        return where[number]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(b"")

            def do_POST(self) -> None:
                self._reply(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def _reply(self, data: bytes) -> None:
                status, body = api.answer(self.command, self.path, self.headers, data)
                if api.loses_answers:
                    self.close_connection = True
                    return
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _selected(objects: dict[str, dict], query: dict[str, str]) -> list[dict[str, Any]]:
    predicates = json.loads(query.get("filter", "{}")).get("predicates", [])
    wrong = problems_of("list[V2beta1Predicate]", predicates)
    assert wrong == [], wrong
    found = [
        o
        for o in objects.values()
        if all(o.get(p["key"]) == p["string_value"] for p in predicates)
        and query.get("experiment_id") in (None, o.get("experiment_id"))
    ]
    return list(reversed(found))[: int(query.get("page_size", 100))]
