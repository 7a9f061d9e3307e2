"""Every process of the development cluster listens on a loopback address or the node's, which is on `lo`."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.fakes.devcluster_host import DEVCLUSTER, FakeHost

_NODE = "10.250.0.1"
_INSIDE = ("127.0.0.0/8", f"{_NODE}/32")
# The ranges of pods and Services, which exist inside the machine only.
_RANGES = (*_INSIDE, "10.96.0.0/16", "10.244.0.0/24")
_PROCESSES = ("containerd", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
# Makes the files that openssl would make.
_OPENSSL = 'while [ $# -gt 0 ]; do case $1 in -keyout | -out) echo made >"$2"; shift ;; esac; shift; done'
_KUBECTL = """
case "$*" in
  *"get node "*) echo True ;;
  *"get lease "*) echo 9999-01-01T00:00:00Z ;;
esac
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> FakeHost:
    """After `up.sh`, which started nothing: every program of the cluster has only written down its flags."""
    made = FakeHost(tmp_path_factory.mktemp("host") / "cluster")
    (made.root / "cache").mkdir()
    for name in (*_PROCESSES, "kube-proxy", "sysctl", "ip", "modprobe", "ctr"):
        made.add(name)
    made.add("openssl", _OPENSSL)
    made.add("kubectl", _KUBECTL)
    done = made.run("up.sh")
    assert done.returncode == 0, done.stderr
    # It waits for none of them, and they begin in any order.
    for name in (*_PROCESSES, "kube-proxy"):
        made.wait_for_call(name)
    return made


def _flags(host: FakeHost, name: str) -> dict[str, str]:
    [arguments] = host.calls(name)
    return dict(a.removeprefix("--").split("=", 1) for a in arguments if "=" in a)


def _is_inside(address: str, ranges: tuple[str, ...] = _INSIDE) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(r) for r in ranges)


def test_etcd_listens_on_loopback_addresses(host: FakeHost) -> None:
    flags = _flags(host, "etcd")
    listening = [flags[name] for name in ("listen-client-urls", "listen-peer-urls")]
    assert [_is_inside(str(urlsplit(url).hostname)) for url in listening] == [True, True]
    assert "listen-metrics-urls" not in flags


@pytest.mark.parametrize("name", ["kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_the_control_plane_binds_to_an_address_of_the_machine_alone(host: FakeHost, name: str) -> None:
    # Without the flag they listen on every address.
    assert _is_inside(_flags(host, name)["bind-address"])


def test_the_kubelet_has_no_port_without_credentials_and_none_on_another_address(host: FakeHost) -> None:
    config = _yaml(host, "kubelet.yaml")
    assert _is_inside(config["address"])
    assert _is_inside(config["healthzBindAddress"])
    assert config["readOnlyPort"] == 0
    assert config["authentication"]["anonymous"] == {"enabled": False}


def test_kube_proxy_shows_health_and_metrics_on_loopback_addresses(host: FakeHost) -> None:
    config = _yaml(host, "kube-proxy.yaml")
    assert _is_inside(config["bindAddress"])
    for name in ("healthzBindAddress", "metricsBindAddress"):
        assert _is_inside(config[name].rpartition(":")[0]), name


def test_containerd_streams_on_a_loopback_address_and_speaks_on_a_socket_otherwise(host: FakeHost) -> None:
    config = tomllib.loads((host.root / "config" / "containerd.toml").read_text(encoding="utf-8"))
    assert _is_inside(config["plugins"]["io.containerd.grpc.v1.cri"]["stream_server_address"])
    assert config["grpc"] == {"address": str(host.root / "run" / "containerd.sock")}
    assert not {"metrics", "debug"} & set(config)


def test_the_nodes_address_is_put_on_lo(host: FakeHost) -> None:
    assert ["addr", "add", f"{_NODE}/32", "dev", "lo"] in host.calls("ip")
    assert not [call for call in host.calls("ip") if "dev" in call and call[call.index("dev") + 1] != "lo"]


def test_an_address_of_a_service_that_leads_nowhere_yet_refuses_instead_of_leaving_the_machine(host: FakeHost) -> None:
    inserted = [call for call in host.calls("iptables") if "--insert" in call]
    assert [call[call.index("--insert") + 1] for call in inserted] == ["FORWARD", "OUTPUT"]
    for call in inserted:
        assert call[call.index("--destination") + 1] == "10.96.0.0/16"
        assert call[-2:] == ["--jump", "REJECT"]


def test_no_flag_or_file_names_an_address_that_is_reached_from_outside(host: FakeHost) -> None:
    started = [" ".join(call) for name in (*_PROCESSES, "kube-proxy") for call in host.calls(name)]
    written = [path.read_text(encoding="utf-8") for path in (host.root / "config").rglob("*") if path.is_file()]
    assert len(started) == len(_PROCESSES) + 1
    assert len(written) == 4
    # 0.0.0.0/0 is where the pods' route leads.
    found = re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]|/0)", "\n".join([*started, *written]))
    assert len(found) > 10
    assert [address for address in found if not _is_inside(address, _RANGES)] == []
    assert not re.search(r"\[?::\]?:\d|address[=: ]+\"?\*", "\n".join([*started, *written]))


def test_no_pod_of_the_cluster_is_given_a_port_of_the_machine() -> None:
    manifests = sorted((DEVCLUSTER / "manifests").rglob("*.yaml"))
    assert len(manifests) > 4
    for path in manifests:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"hostNetwork|hostPort|NodePort|LoadBalancer", text), path


def _yaml(host: FakeHost, name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((host.root / "config" / name).read_text(encoding="utf-8")))
