"""The Role that docs/cli.md asks for holds the verbs that the commands use, and no others."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from operators.mimo_pipeline.kubernetes import port_forward
from operators.mimo_pipeline.kubernetes.api_client import KubernetesPipelineClient, PipelineClient

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
# Opened by a websocket: which of the two verbs a cluster asks for depends on its version.
_BY_WEBSOCKET = {("get", "pods/portforward", "mlops"), ("create", "pods/portforward", "mlops")}
_POD = {"metadata": {"name": "p"}, "status": {"phase": "Running"}, "spec": {"containers": []}}
_SERVICE = {"spec": {"selector": {"app": "minio"}, "ports": [{"port": 9000}]}}


class _Api:
    """Answers every request, and keeps (verb, resource, namespace) of each."""

    configuration = SimpleNamespace(host="https://cluster")

    def __init__(self) -> None:
        self.used: set[tuple[str, str, str]] = set()

    def call_api(self, path: str, method: str, **_: Any) -> SimpleNamespace:
        found = re.fullmatch(r"/apis?/(?:[\w.]+/)?v1\w*/namespaces/(\w+)/(\w+)(?:/([\w-]+)(?:/(\w+))?)?", path)
        assert found, path
        namespace, resource, name, part = found.groups()
        verbs = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch"}
        self.used.add((verbs[method], f"{resource}/{part}" if part else resource, namespace))
        body = _SERVICE if resource == "services" else {"items": [_POD], "data": {}}
        return SimpleNamespace(data=json.dumps(body).encode(), stream=lambda **_: iter([b"x"]))


def _documented() -> set[tuple[str, str, str]]:
    """The second table is about the namespace of a Service."""
    section = PAGE.split("A user needs a Role for it")[1].split("\n## ")[0]
    own, of_service = section.split("in the namespace of their Service")
    return {
        (verb, resource, namespace)
        for text, namespace in ((own, "train"), (of_service, "mlops"))
        for resource, verbs in re.findall(r"^\| `([\w/]+)` \| ([\w, ]+) \|", text, re.M)
        for verb in verbs.split(", ")
    }


@pytest.mark.timeout(120)
def test_the_page_asks_for_the_verbs_that_the_client_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_forward, "forwarded_port", lambda *_: contextlib.nullcontext(1))
    api = _Api()
    client = KubernetesPipelineClient(api, "train")
    calls = {
        "get": lambda: client.get("demo"),
        "create": lambda: client.create({}),
        "patch": lambda: client.patch("demo", []),
        "list_all": client.list_all,
        "pods": lambda: client.pods("a=b"),
        "pod_log": lambda: client.pod_log("p"),
        "stamped_pod_log": lambda: client.stamped_pod_log("p", ""),
        "follow_pod_log": lambda: list(client.follow_pod_log("p")),
        "config_maps": lambda: client.config_maps("a=b"),
        "secret": lambda: client.secret("s"),
        "forward": lambda: client.forward("minio", "mlops", 9000),
    }
    # A new call of the client has to be made here too.
    assert set(calls) == {name for name in vars(PipelineClient) if not name.startswith("_")}
    for call in calls.values():
        call()
    assert api.used | _BY_WEBSOCKET == _documented()
