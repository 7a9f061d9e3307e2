"""Each flow that a component needs is allowed by the rendered policies; every other pair of components is denied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from operators.mimo_pipeline.builders.pod_settings import PodKind
from operators.mimo_pipeline.naming import LABEL_COMPONENT, labels
from tests.charts.helm import NAMESPACE, of_kind, pod_templates, render
from tests.fakes.network_policies import Endpoint, Policy, is_allowed

_RAY = (PodKind.RAY_HEAD, PodKind.RAY_TRAINER, PodKind.RAY_ROLLOUT, PodKind.RAY_REWARD)
# Ports that something listens on, and two of those that gloo, NCCL and Ray pick at random.
_PORTS = (53, 80, 443, 5000, 5432, 6443, 8000, 8080, 8081, 8265, 9000, 9095, 9443, 10001, 29500, 36517)
_ALL = frozenset(_PORTS)
# Addresses are narrowed, so that "anywhere" does not hide a pod that could be reached by mistake.
_ADDRESSES = ('networkPolicies.apiServer.cidrs=["10.250.0.1/32"]', 'networkPolicies.externalCidrs=["52.0.0.0/8"]')
_EXTERNAL = (
    *_ADDRESSES,
    'objectStore.mode="external"',
    'objectStore.endpoint="s3.example.com"',
    'objectStore.existingSecret="store"',
    'mlflow.backendStore.existingSecret="database"',
)
_OUTSIDE = (
    Endpoint(name="dns", namespace="kube-system", labels={"k8s-app": "kube-dns"}, address="10.244.0.2"),
    Endpoint(name="prometheus", namespace="monitoring", labels={"app": "prometheus"}, address="10.244.0.3"),
    Endpoint(
        name="kuberay",
        namespace="ray-system",
        labels={"app.kubernetes.io/component": "kuberay-operator"},
        address="10.244.0.4",
    ),
    Endpoint(name="ingress", namespace="ingress-nginx", labels={"app": "ingress"}, address="10.244.0.5"),
    Endpoint(name="neighbour", namespace=NAMESPACE, labels={"app": "notebook"}, address="10.244.0.6"),
    Endpoint(name="stranger", namespace="other", labels={"mimo.dev/component": "pytorch"}, address="10.244.0.7"),
    Endpoint(name="api-server", address="10.250.0.1"),
    Endpoint(name="s3", address="52.1.2.3"),
    Endpoint(name="internet", address="93.184.216.34"),
)

Flows = dict[tuple[str, str], frozenset[int]]


def test_each_declared_flow_is_allowed_and_every_other_one_denied() -> None:
    flows: Flows = {
        ("operator", "minio"): frozenset({9000}),
        ("operator", "api-server"): frozenset({443, 6443}),
        ("uninstall-check", "api-server"): frozenset({443, 6443}),
        ("store-setup", "minio"): frozenset({9000}),
        ("tests", "minio"): frozenset({9000}),
        ("tests", "mlflow"): frozenset({5000}),
        **{(source, "dns"): frozenset({53}) for source in ("operator", "uninstall-check", "store-setup", "tests")},
        **{(kind, "dns"): frozenset({53}) for kind in PodKind},
        **{(kind, "minio"): frozenset({9000}) for kind in PodKind},
        **{(kind, "mlflow"): frozenset({5000}) for kind in PodKind},
        **_common_flows(),
    }
    _assert_exactly(flows, *_ADDRESSES)


def test_an_external_store_and_database_are_reached_and_nothing_else_outside() -> None:
    flows: Flows = {
        ("operator", "s3"): frozenset({443}),
        ("operator", "api-server"): frozenset({443, 6443}),
        ("uninstall-check", "api-server"): frozenset({443, 6443}),
        ("mlflow", "s3"): frozenset({5432}),
        ("tests", "s3"): frozenset({443}),
        ("tests", "mlflow"): frozenset({5000}),
        **{(source, "dns"): frozenset({53}) for source in ("operator", "uninstall-check", "mlflow", "tests", *PodKind)},
        **{(kind, "s3"): frozenset({443}) for kind in PodKind},
        **{(kind, "mlflow"): frozenset({5000}) for kind in PodKind},
        **_common_flows(),
    }
    _assert_exactly(flows, *_EXTERNAL)


def test_an_ingress_controller_reaches_mlflow_only_when_there_is_an_ingress() -> None:
    settings = ("ingress.enabled=true", 'ingress.host="mlflow.example.com"')
    ingress = next(e for e in _OUTSIDE if e.name == "ingress")
    mlflow = next(e for e in _components() if e.name == "mlflow")
    assert is_allowed(_policies(*settings), ingress, mlflow, 5000)
    assert not is_allowed(_policies(), ingress, mlflow, 5000)


def test_stages_of_a_pipeline_namespace_reach_store_and_tracking_across_namespaces() -> None:
    policies = _policies('pipelineNamespaces=["vision"]')
    by_name = {e.name: e for e in _components()}
    here = Endpoint(name="rank", namespace="vision", labels={LABEL_COMPONENT: "pytorch"}, address="10.244.1.1")
    elsewhere = Endpoint(name="rank", namespace="speech", labels={LABEL_COMPONENT: "pytorch"}, address="10.244.1.2")
    assert is_allowed(policies, here, by_name["minio"], 9000)
    assert is_allowed(policies, here, by_name["mlflow"], 5000)
    assert not is_allowed(policies, elsewhere, by_name["minio"], 9000)
    assert not is_allowed(policies, here, by_name["operator"], 8081)


def test_kuberay_can_be_pinned_to_its_namespace() -> None:
    pinned = _policies('networkPolicies.kuberayNamespaces=["ray-system"]')
    head = next(e for e in _components() if e.name == PodKind.RAY_HEAD)
    real = next(e for e in _OUTSIDE if e.name == "kuberay")
    copy = Endpoint(name="copy", namespace="other", labels=real.labels, address="10.244.1.3")
    assert is_allowed(pinned, real, head, 8265)
    assert not is_allowed(pinned, copy, head, 8265)
    assert is_allowed(_policies(), copy, head, 8265), "the default knows the operator by its label only"


def test_policies_can_be_turned_off() -> None:
    assert of_kind(render("default", "networkPolicies.enabled=false"), "NetworkPolicy") == []


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_names_are_resolved_by_both_protocols(protocol: str) -> None:
    dns = next(e for e in _OUTSIDE if e.name == "dns")
    rank = next(e for e in _components() if e.name == PodKind.PYTORCH)
    assert is_allowed(_policies(), rank, dns, 53, protocol)


def _common_flows() -> Flows:
    return {
        ("prometheus", "operator"): frozenset({8081}),
        ("kuberay", PodKind.RAY_HEAD): frozenset({8265}),
        (PodKind.RAY_SUBMITTER, PodKind.RAY_HEAD): frozenset({8265}),
        (PodKind.PYTORCH, PodKind.PYTORCH): _ALL,
        **{("prometheus", kind): frozenset({9095}) for kind in (PodKind.JOB, PodKind.PYTORCH)},
        **{("prometheus", kind): frozenset({8080}) for kind in _RAY[1:]},
        ("prometheus", PodKind.RAY_HEAD): frozenset({8080, 9095}),
        **{(one, other): _ALL for one in _RAY for other in _RAY},
    }


def _assert_exactly(flows: Flows, *settings: str) -> None:
    policies = _policies(*settings)
    pairs = list(_pairs(*settings))
    assert len(pairs) > 200
    for source, target in pairs:
        allowed = {port for port in _PORTS if is_allowed(policies, source, target, port)}
        wanted = flows.pop((source.name, target.name), frozenset())
        assert allowed == wanted, f"{source.name} -> {target.name}"
    assert flows == {}, "flows between components that do not exist"


def _pairs(*settings: str) -> Iterator[tuple[Endpoint, Endpoint]]:
    """All pairs with one of our pods in it."""
    ours = _components(*settings)
    for pod in ours:
        for other in (*ours, *_OUTSIDE):
            yield pod, other
        for other in _OUTSIDE:
            yield other, pod


def _components(*settings: str) -> list[Endpoint]:
    """A pod of every component of the chart, and of every kind that the operator makes."""
    by_component = {}
    for template in pod_templates(render("default", *settings)).values():
        found = template["metadata"]["labels"]
        by_component[found["app.kubernetes.io/component"]] = found
    for kind in PodKind:
        by_component[str(kind)] = {**labels("demo", "stage", 1), LABEL_COMPONENT: str(kind)}
    return [
        Endpoint(name=name, namespace=NAMESPACE, labels=found, address=f"10.244.2.{index}")
        for index, (name, found) in enumerate(sorted(by_component.items()), start=1)
    ]


def _policies(*settings: str) -> list[Policy]:
    """With the namespace that `helm install` fills in."""
    found = of_kind(render("default", *settings), "NetworkPolicy")
    return [{**p, "metadata": {"namespace": NAMESPACE, **p["metadata"]}} for p in found]
