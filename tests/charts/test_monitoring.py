"""Monitors and rules appear only where the cluster knows them, and ask only for metrics that exist."""

from __future__ import annotations

import re

from operators.mimo_pipeline.operator_metrics import OperatorMetrics
from tests.charts.helm import Manifest, of_kind, pod_templates, render

_KNOWN = ("kubeflow.org/v1/PyTorchJob", "ray.io/v1/RayJob", "monitoring.coreos.com/v1")
_MONITORED = ("monitoring.enabled=true", 'monitoring.labels={"release":"prometheus"}')


def test_a_cluster_without_prometheus_gets_none() -> None:
    assert of_kind(render("default", *_MONITORED), "PodMonitor") == []
    assert of_kind(render("default", *_MONITORED), "PrometheusRule") == []
    assert of_kind(render("default", api_versions=_KNOWN), "PodMonitor") == []


def test_rules_ask_only_for_metrics_of_the_operator() -> None:
    families = OperatorMetrics().registry.collect()
    declared = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    [rule] = _monitored("PrometheusRule")
    expressions = [alert["expr"] for group in rule["spec"]["groups"] for alert in group["rules"]]
    asked = {name for expression in expressions for name in re.findall(r"mimo_\w+", expression)}
    assert len(asked) == 3
    assert asked <= declared
    assert all('namespace="mimo"' in expression for expression in expressions)


def test_monitors_select_pods_with_the_port_they_name() -> None:
    operator, ray, stages = _monitored("PodMonitor")
    template = pod_templates(render())["Deployment/mimo-pipeline-operator"]
    assert operator["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    assert {endpoint["port"] for endpoint in operator["spec"]["podMetricsEndpoints"]} <= ports
    assert ray["spec"]["namespaceSelector"] == {"matchNames": ["mimo"]}
    assert {m["metadata"]["labels"]["release"] for m in (operator, ray, stages)} == {"prometheus"}


def _monitored(kind: str) -> list[Manifest]:
    return of_kind(render("default", *_MONITORED, api_versions=_KNOWN), kind)
