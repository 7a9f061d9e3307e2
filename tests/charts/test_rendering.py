"""Every profile renders to what its golden file shows, passes lint, and stays within Kubernetes' limits."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import os
from pathlib import Path

import pytest
import yaml

from tests.charts.helm import (
    CHART,
    NAMESPACE,
    PROFILES,
    RELEASE,
    ROOT,
    HelmError,
    of_kind,
    render,
    run_helm,
    value_files,
)

GOLDEN = ROOT / "tests" / "golden" / "chart"
_MAX_RELEASE_SIZE_BYTES = 500_000
_SHARED_LABELS = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
)
_LONG_RELEASE = "a-release-with-the-longest-name-that-helm-itself-accept"[:53]


@pytest.mark.parametrize("profile", PROFILES)
def test_lint_finds_nothing_that_is_wrong(profile: str) -> None:
    answer = run_helm("lint", "--strict", str(CHART), *value_files(profile))
    assert "1 chart(s) linted, 0 chart(s) failed" in answer


def test_every_values_file_belongs_to_a_profile() -> None:
    files = {path.name for path in CHART.glob("values-*.yaml")}
    used = {Path(argument).name for profile in PROFILES for argument in value_files(profile)[1::2]}
    assert files == used
    assert len(files) > 3


def test_lint_is_strict_about_a_value_that_there_is_not() -> None:
    with pytest.raises(HelmError, match="queueNam"):
        run_helm("lint", "--strict", str(CHART), *value_files("tiny"), "--set", "workloads.queueNam=x")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_renders_its_golden_file(profile: str) -> None:
    text = _golden_text(profile)
    path = GOLDEN / f"{profile}.yaml"
    if os.environ.get("MIMO_GOLDEN_UPDATE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_the_release_fits_into_its_secret() -> None:
    files = {str(p.relative_to(CHART)): p.read_bytes() for p in sorted(CHART.rglob("*")) if p.is_file()}
    assert len(files) > 30
    manifest = yaml.safe_dump_all(render("production-7b"))
    encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
    release = json.dumps({"chart": encoded, "manifest": manifest}).encode()
    assert len(base64.b64encode(gzip.compress(release))) < _MAX_RELEASE_SIZE_BYTES


def test_names_and_labels_of_a_long_release_stay_within_63_characters() -> None:
    manifests = render("default", release=_LONG_RELEASE)
    assert len(_LONG_RELEASE) == 53
    names = [m["metadata"]["name"] for m in manifests if m["kind"] not in ("ClusterRole", "CustomResourceDefinition")]
    labels = [value for m in manifests for value in m["metadata"].get("labels", {}).values()]
    assert max(map(len, names)) <= 63
    assert max(map(len, labels)) <= 63
    accounts = {m["metadata"]["name"] for m in of_kind(manifests, "ServiceAccount")}
    assert len(accounts) == 7, "cut names must differ"


@pytest.mark.parametrize("profile", PROFILES)
def test_no_two_objects_have_one_name(profile: str) -> None:
    seen = [
        (m["apiVersion"], m["kind"], m["metadata"].get("namespace", NAMESPACE), m["metadata"]["name"])
        for m in render(profile)
    ]
    assert len(seen) == len(set(seen)) > 20


def test_every_object_carries_the_labels_of_the_release() -> None:
    manifests = render("default", 'commonLabels={"team":"vision"}')
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["team"] == "vision", manifest["metadata"]["name"]


def test_a_selector_holds_nothing_that_changes_with_a_version() -> None:
    selectors = [m["spec"]["selector"]["matchLabels"] for m in of_kind(render(), "Deployment")]
    assert len(selectors) == 3
    for selector in selectors:
        assert set(selector) == {f"app.kubernetes.io/{part}" for part in ("name", "instance", "component")}


def test_extra_objects_are_templates() -> None:
    extra = '[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"{{ .Release.Name }}-more","labels":{}}}]'
    names = [m["metadata"]["name"] for m in render("default", f"extraObjects={extra}")]
    assert f"{RELEASE}-more" in names


def test_the_crd_is_kept_on_uninstall_unless_told_otherwise() -> None:
    [kept] = of_kind(render(), "CustomResourceDefinition")
    [dropped] = of_kind(render("default", "crds.keep=false"), "CustomResourceDefinition")
    assert kept["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert "helm.sh/resource-policy" not in dropped["metadata"].get("annotations", {})
    assert kept["spec"] == yaml.safe_load((CHART / "files" / "crd.yaml").read_text(encoding="utf-8"))["spec"]
    assert of_kind(render("default", "crds.install=false"), "CustomResourceDefinition") == []


def _golden_text(profile: str) -> str:
    """Without the CRD and dashboards, which have files of their own, what is random, and labels that all share."""
    manifests = copy.deepcopy([m for m in render(profile) if m["kind"] != "CustomResourceDefinition"])
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            manifest["data"] = dict.fromkeys(manifest["data"], "<generated>")
        if "grafana_dashboard" in manifest["metadata"]["labels"]:
            manifest["data"] = {name: f"<dashboards/{name}>" for name in manifest["data"]}
        for metadata in (manifest["metadata"], manifest.get("spec", {}).get("template", {}).get("metadata", {})):
            for label in _SHARED_LABELS:
                metadata.get("labels", {}).pop(label, None)
    return yaml.safe_dump_all(manifests, sort_keys=False, width=120)
