"""Does the API server accept all that the chart and the operator render, in namespaces that enforce Pod Security?

Server-side dry runs: nothing stays. Pod Security looks at pods only, so pod templates are sent as pods of their own.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.cluster_check import CheckRequest, render, write_manifests
from tests.e2e.kube import Cluster, CommandError
from tests.e2e.release import CHART

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# Their own for each run: a deleted one takes a while to go.
_NAMESPACE = f"mimo-rendering-{uuid.uuid4().hex[:6]}"
_TEAM, _PRIVILEGED = f"{_NAMESPACE}-team", f"{_NAMESPACE}-privileged"
# Namespace -> the standard that it enforces and warns of.
_STANDARDS = {_NAMESPACE: "restricted", _TEAM: "restricted", _PRIVILEGED: "privileged"}
_SECURITY = "pod-security.kubernetes.io"
_RELEASE = "mimo-pipeline"
_CLUSTER_WIDE = frozenset({"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Namespace"})
_KNOWN = ("kubeflow.org/v1/PyTorchJob", "ray.io/v1/RayJob")
_Object = dict[str, Any]


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Cluster]:
    cluster.apply(*(_namespace(name, standard) for name, standard in _STANDARDS.items()))
    yield cluster
    cluster.kubectl("delete", "namespace", *_STANDARDS, "--wait=false")


def _namespace(name: str, standard: str) -> _Object:
    labels = {f"{_SECURITY}/{mode}": standard for mode in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _chart(server: Cluster, *profiles: str, settings: Sequence[str] = ()) -> list[_Object]:
    values = [part for profile in profiles for part in ("-f", str(CHART / f"values-{profile}.yaml"))]
    values += [part for setting in settings for part in ("--set", setting)]
    known = [part for version in _KNOWN for part in ("--api-versions", version)]
    text = server.helm("template", _RELEASE, str(CHART), "-n", _NAMESPACE, *values, *known)
    return [body for body in yaml.safe_load_all(text) if body]


def _children(server: Cluster, profile: str, folder: Path, chart_profiles: Sequence[str] | None) -> list[_Object]:
    """What `mimo check` writes for the cluster of chart profiles, () being its defaults; None = its example cluster."""
    settings_path = None
    if chart_profiles is not None:
        settings = [b for b in _chart(server, *chart_profiles) if "operator.yaml" in (b.get("data") or {})]
        [body] = settings
        settings_path = folder / "operator.yaml"
        settings_path.write_text(body["data"]["operator.yaml"])
    rendered = render(CheckRequest(profile=profile, settings_path=settings_path))
    return [yaml.safe_load(path.read_text()) for path in write_manifests(rendered.objects, folder / "objects")]


def _pods(bodies: Sequence[_Object]) -> list[_Object]:
    """Every pod template, at any depth, as a pod."""
    found: list[_Object] = []
    for body in bodies:
        templates = [body] if body["kind"] == "Pod" else _templates(body)
        for number, template in enumerate(templates):
            name = f"{body['metadata']['name'][:50]}-{body['kind'].lower()[:8]}-{number}"
            metadata = {"name": name, "labels": template.get("metadata", {}).get("labels", {})}
            found.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    return found


def _templates(value: Any) -> Iterator[_Object]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.lower().endswith("template") and isinstance(inner, dict) and "containers" in inner.get("spec", {}):
                yield inner
            else:
                yield from _templates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _templates(inner)


def _dry_run(server: Cluster, bodies: Sequence[_Object], namespace: str = _NAMESPACE) -> list[str]:
    """Lines of kubectl. Raises CommandError for what is refused, and for any warning.

    `namespace`: of the bodies that are not for one of ours already.
    """
    for body in bodies:
        if body["kind"] not in _CLUSTER_WIDE and body["metadata"].get("namespace") not in _STANDARDS:
            body["metadata"]["namespace"] = namespace
    text = "\n---\n".join(json.dumps(body) for body in bodies)
    options = ("--server-side", "--dry-run=server", "--force-conflicts", "--warnings-as-errors", "--validate=strict")
    return server.kubectl("apply", *options, "-f", "-", stdin=text).splitlines()


def _dry_run_pods(server: Cluster, bodies: Sequence[_Object], namespace: str = _NAMESPACE) -> list[str]:
    """Admission of pods wants their ServiceAccounts to exist."""
    pods = _pods(bodies)
    names = {pod["spec"].get("serviceAccountName", "default") for pod in pods}
    accounts = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}} for name in sorted(names)]
    server.apply(*accounts, namespace=namespace)
    return _dry_run(server, pods, namespace)


# What is off unless somebody asks for it, and needs no CRD that this cluster may lack.
_SWITCHES = (
    f"pipelineNamespaces={{{_NAMESPACE},{_TEAM}}}",
    "operator.replicas=2",
    "ingress.enabled=true",
    "ingress.host=mlflow.example.org",
    "ingress.className=nginx",
    "ingress.tlsSecret=mlflow-tls",
    "kubeflow.enabled=true",
    "kubeflow.stepAccounts[0].name=pipeline-runner",
    "kubeflow.stepAccounts[0].namespace=kubeflow",
    "monitoring.dashboards.enabled=true",
)
# Case -> profiles of values, settings.
_CHARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default values": ((), ()),
    "tiny": (("tiny",), ()),
    "devcluster": (("devcluster",), ()),
    "production-7b": (("production-7b",), ()),
    "every switch": ((), _SWITCHES),
}


@pytest.mark.parametrize("case", list(_CHARTS))
def test_every_object_of_the_chart_is_accepted_without_warnings(server: Cluster, case: str) -> None:
    profiles, settings = _CHARTS[case]
    bodies = _chart(server, *profiles, settings=settings)
    assert {"Deployment", "Job", "CustomResourceDefinition", "NetworkPolicy", "Role"} <= {b["kind"] for b in bodies}
    assert len(_dry_run(server, bodies)) == len(bodies)
    # Two hooks and two tests beside the Deployments.
    assert len(_dry_run_pods(server, bodies)) >= 4


def test_every_switch_renders_what_it_is_for(server: Cluster) -> None:
    """So the acceptance above is of something."""
    usual = {_identity(body) for body in _chart(server)}
    added = {_identity(body) for body in _chart(server, settings=_SWITCHES)} - usual
    assert ("Ingress", _NAMESPACE) in added
    assert ("PodDisruptionBudget", _NAMESPACE) in added
    for kind in ("Role", "RoleBinding", "ServiceAccount", "NetworkPolicy"):
        assert (kind, _TEAM) in added


def _identity(body: _Object) -> tuple[str, str]:
    """Kind and namespace."""
    return body["kind"], body["metadata"].get("namespace", _NAMESPACE)


# (profile of the pipeline, profiles of the chart whose operator renders; None = the example cluster)
_RENDERED: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "tiny": ("tiny", None),
    "tiny on the chart's defaults": ("tiny", ()),
    "tiny on the development cluster": ("tiny", ("devcluster",)),
    "smol": ("smol", None),
    "smol on the tiny profile": ("smol", ("tiny",)),
    "7b": ("mimo_vl_7b", None),
    "7b on the production profile": ("mimo_vl_7b", ("production-7b",)),
}
_LOCKED = ("production-7b", "rdma-ipclock")


@pytest.mark.parametrize("case", list(_RENDERED))
def test_every_child_of_a_pipeline_is_accepted_without_warnings(server: Cluster, case: str, tmp_path: Path) -> None:
    profile, chart_profiles = _RENDERED[case]
    _accept_children(server, _children(server, profile, tmp_path, chart_profiles), _NAMESPACE)


def _accept_children(server: Cluster, bodies: Sequence[_Object], namespace: str) -> None:
    kinds = [b["kind"] for b in bodies]
    assert (kinds.count("PyTorchJob"), kinds.count("RayJob"), kinds.count("ConfigMap")) == (6, 1, 1)
    assert len(_dry_run(server, bodies, namespace)) == len(bodies)
    # Of a PyTorchJob at least its master, of the RayJob the head, three groups and the submitter, of a Job one.
    assert len(_dry_run_pods(server, bodies, namespace)) >= 6 + 5 + kinds.count("Job")


def test_locked_memory_is_refused_in_a_restricted_namespace(server: Cluster, tmp_path: Path) -> None:
    """So the acceptance of the others means something, and the overlay is right to ask for a privileged namespace."""
    bodies = _children(server, "mimo_vl_7b", tmp_path, _LOCKED)
    gpu_jobs = [b for b in bodies if b["kind"] == "PyTorchJob"]
    with pytest.raises(CommandError, match=r"violates PodSecurity.*restricted"):
        _dry_run_pods(server, gpu_jobs)


def test_locked_memory_is_accepted_in_a_privileged_namespace(server: Cluster, tmp_path: Path) -> None:
    bodies = _children(server, "mimo_vl_7b", tmp_path, _LOCKED)
    locking = [json.dumps(b) for b in bodies if "IPC_LOCK" in json.dumps(b)]
    assert len(locking) >= 6
    _accept_children(server, bodies, _PRIVILEGED)
