"""Monitors and rules appear only where the cluster knows them, and ask only for metrics that exist."""

from __future__ import annotations

import json
import re

import yaml

from mimo_vl.observability.dashboards.alerts import rules
from mimo_vl.observability.dashboards.catalogue import DASHBOARDS
from operators.mimo_pipeline.api import StoreSettings
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.metadata import pod_metadata
from operators.mimo_pipeline.builders.pod_settings import PodKind
from operators.mimo_pipeline.example_settings import example_settings
from operators.mimo_pipeline.plan import Create
from tests.charts.helm import CHART, Manifest, of_kind, pod_templates, render

_KNOWN = ("kubeflow.org/v1/PyTorchJob", "ray.io/v1/RayJob", "monitoring.coreos.com/v1")
_MONITORED = ("monitoring.enabled=true", 'monitoring.labels={"release":"prometheus"}')


def test_a_cluster_without_prometheus_gets_none() -> None:
    assert of_kind(render("default", *_MONITORED), "PodMonitor") == []
    assert of_kind(render("default", *_MONITORED), "PrometheusRule") == []
    assert of_kind(render("default", api_versions=_KNOWN), "PodMonitor") == []


def test_rules_are_the_generated_ones_and_the_operators_are_of_this_release() -> None:
    [rule] = _monitored("PrometheusRule")
    rendered = {alert["alert"]: alert for group in rule["spec"]["groups"] for alert in group["rules"]}
    declared = rules('{namespace="mimo"}')["groups"][0]["rules"]
    assert rendered == {alert["alert"]: alert for alert in declared}
    assert (
        rendered["MimoOperatorDoesNotWork"]["expr"] == '(sum(mimo_operator_leader{namespace="mimo"}) or vector(0)) < 1'
    )


def test_rules_have_a_switch_of_their_own() -> None:
    without = render("default", *_MONITORED, "monitoring.rules.enabled=false", api_versions=_KNOWN)
    assert of_kind(without, "PrometheusRule") == []
    assert len(of_kind(without, "PodMonitor")) == 3


def test_each_dashboard_is_a_config_map_that_grafana_finds() -> None:
    made = of_kind(render("default", "monitoring.dashboards.enabled=true"), "ConfigMap")
    found = [m for m in made if m["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert len(found) == len(DASHBOARDS)
    for config_map in found:
        [(name, text)] = config_map["data"].items()
        assert name.endswith(".json")
        assert config_map["metadata"]["annotations"]["grafana_folder"] == "MiMo-VL"
        assert text == (CHART.parents[1] / "dashboards" / name).read_text(encoding="utf-8")
        assert len(text) < 2**20
    assert of_kind(render(), "ConfigMap") != []
    assert not any(m["metadata"]["labels"].get("grafana_dashboard") for m in of_kind(render(), "ConfigMap"))


def test_minio_is_scraped_with_the_values_that_the_documentation_gives() -> None:
    page = (CHART.parents[1] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    [values] = [yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", page, re.S) if "\nminio:" in b]
    rendered = render("default", *(f"{name}={json.dumps(value)}" for name, value in values.items()))
    [minio] = [m for m in of_kind(rendered, "Deployment") if m["metadata"]["name"].endswith("minio")]
    template = minio["spec"]["template"]
    [container] = template["spec"]["containers"]
    assert {"name": "MINIO_PROMETHEUS_AUTH_TYPE", "value": "public"} in container["env"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(container["ports"][0]["containerPort"])
    [policy] = [m for m in of_kind(rendered, "NetworkPolicy") if m["metadata"]["name"] == "minio-metrics"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_stage_pods_are_scraped_where_their_annotation_says() -> None:
    stages = _monitored("PodMonitor")[2]
    [relabeling] = stages["spec"]["podMetricsEndpoints"][0]["relabelings"]
    facts = ClusterFacts(
        namespace="mimo",
        pipeline="p",
        uid="u",
        run_id="r",
        code_digest="",
        config_map="c",
        tracking_uri="",
        store=StoreSettings(uri="s3://b", secret="s"),
        settings=example_settings(has_gpus=False),
    )
    create = Create(stage="curate", attempt=1, key="k", inputs={})
    annotations = pod_metadata(PodKind.JOB, create, facts)["annotations"]
    assert annotations["prometheus.io/port"] == "9095"
    source = "__meta_kubernetes_pod_annotation_prometheus_io_port"
    assert relabeling["sourceLabels"] == ["__meta_kubernetes_pod_ip", source]
    assert "prometheus.io/scrape" not in pod_metadata(PodKind.RAY_SUBMITTER, create, facts)["annotations"]
    assert pod_metadata(PodKind.RAY_ROLLOUT, create, facts)["annotations"]["prometheus.io/port"] == "8080"


def test_the_operators_pod_is_scraped_by_its_annotations() -> None:
    """As every other pod that shows metrics; a user's own annotations stand beside them."""
    templates = pod_templates(render("default", 'operator.podAnnotations={"team":"vision"}'))
    template = templates["Deployment/mimo-pipeline-operator"]
    annotations = template["metadata"]["annotations"]
    [metrics] = [p for p in template["spec"]["containers"][0]["ports"] if p["name"] == "metrics"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert annotations["prometheus.io/port"] == str(metrics["containerPort"])
    assert annotations["prometheus.io/path"] == "/metrics"
    assert annotations["team"] == "vision"


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
