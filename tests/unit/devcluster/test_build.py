"""A Go module that cannot be fetched is named with its version, and costs its own tier only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fakes.devcluster_host import DEVCLUSTER, FakeHost

# Downloads every module but $MISSING, and builds empty binaries, as Go does both.
_GO = r"""
case "$1 $2" in
  "env GOVERSION") echo go1.26.0 ;;
  "mod download")
    module=${4%@*}
    if [ "$module" = "${MISSING:-}" ]; then
      printf '{\n\t"Path": "%s",\n\t"Error": "%s: 404 Not Found"\n}\n' "$module" "$4"
      exit 1
    fi
    mkdir -p "$MIMO_CLUSTER_ROOT/sources/$module/manifests" "$MIMO_CLUSTER_ROOT/sources/$module/config"
    printf '{\n\t"Path": "%s",\n\t"Dir": "%s"\n}\n' "$module" "$MIMO_CLUSTER_ROOT/sources/$module"
    ;;
  build*)
    while [ "$1" != -o ]; do shift; done
    target=$2
    shift 2
    for package in "$@"; do
      name=${package##*/}
      [ "$package" != go.etcd.io/etcd/server/v3 ] || name=server
      touch "$target$name"
    done
    ;;
esac
"""
_MINIO, _KUBERAY = "github.com/minio/minio", "github.com/ray-project/kuberay/ray-operator"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    made = FakeHost(tmp_path / "cluster")
    made.add("go", _GO)
    return made


def _version(folder: str, module: str) -> str:
    text = (DEVCLUSTER / "gomods" / folder / "go.mod").read_text(encoding="utf-8")
    [version] = set(re.findall(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", text, re.MULTILINE))
    return version


def _binaries(host: FakeHost) -> set[str]:
    return {path.name for path in (host.root / "bin").iterdir()} - {"go", "id"}


def test_with_every_module_all_tiers_are_built_and_nothing_is_skipped(host: FakeHost) -> None:
    done = host.run("build.sh")
    assert done.returncode == 0, done.stderr
    assert {"etcd", "kube-apiserver", "kubelet", "coredns", "training-operator.v1", "minio"} <= _binaries(host)
    assert not (host.root / "skipped").exists() or not list((host.root / "skipped").iterdir())
    assert "SKIPPED" not in done.stdout


@pytest.mark.parametrize(
    ("tier", "folder", "module", "binary"),
    [("minio", "cluster", _MINIO, "minio"), ("kuberay-operator", "kuberay", _KUBERAY, "ray-operator")],
)
def test_a_module_that_is_gone_is_named_with_its_version_and_only_its_tier_is_left_out(
    host: FakeHost, tier: str, folder: str, module: str, binary: str
) -> None:
    done = host.run("build.sh", MISSING=module)
    assert done.returncode == 0, done.stderr
    reason = f"Go module {module} {_version(folder, module)} cannot be had"
    assert [p.name for p in (host.root / "skipped").iterdir()] == [tier]
    assert (host.root / "skipped" / tier).read_text(encoding="utf-8") == reason + "\n"
    assert f"SKIPPED {tier}: {reason}" in done.stdout
    # What Go said.
    assert "404 Not Found" in done.stderr
    assert binary not in _binaries(host)
    assert {"etcd", "kube-apiserver", "kubelet", "coredns", "training-operator.v1"} <= _binaries(host)


def test_a_tier_that_can_be_had_again_is_built_and_no_longer_skipped(host: FakeHost) -> None:
    host.run("build.sh", MISSING=_MINIO)
    done = host.run("build.sh")
    assert done.returncode == 0, done.stderr
    assert list((host.root / "skipped").iterdir()) == []
    assert "minio" in _binaries(host)
    # What was built before is taken from the cache.
    built = [call for call in host.calls("go") if call[0] == "build"]
    assert len(built) == 6


def test_without_a_module_that_every_cluster_needs_the_build_ends_and_names_it(host: FakeHost) -> None:
    done = host.run("build.sh", MISSING="k8s.io/kubernetes")
    assert done.returncode == 1
    assert f"Go module k8s.io/kubernetes {_version('cluster', 'k8s.io/kubernetes')} cannot be had" in done.stdout
    assert "kubernetes is needed for every cluster" in done.stderr


def test_no_operator_is_installed_of_a_tier_that_was_skipped(host: FakeHost) -> None:
    host.add("kubectl")
    host.run("build.sh", MISSING=_KUBERAY)
    done = host.run("addons.sh", "kuberay")
    assert done.returncode == 0
    assert "SKIPPED kuberay-operator: Go module" in done.stdout
    assert host.calls("kubectl") == []
