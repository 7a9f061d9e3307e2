"""Stopping the cluster ends, unmounts and removes what it made, and nothing else."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.devcluster_host import FakeHost

_DATA = ("run", "data", "logs", "config", "pki", "kubeconfig")
_KEPT = ("bin", "cache", "env", "skipped")
_OURS, _FOREIGN = "cni-0000aaaa-1111", "cni-ffff0000-2222"
# containerd's client: one container of ours, which names its network namespace.
_CTR = f"""
case "$*" in
  *"containers ls"*) echo pod-1 ;;
  *"containers info pod-1"*) echo '"path": "/var/run/netns/{_OURS}"' ;;
esac
"""


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    made = FakeHost(tmp_path / "cluster")
    for name in ("ip", "umount", "kube-proxy"):
        made.add(name)
    made.add("ctr", _CTR)
    for folder in (*_DATA, *_KEPT, "somebody-else"):
        (made.root / folder).mkdir(exist_ok=True)
        (made.root / folder / "file").write_text("x", encoding="utf-8")
    return made


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def _start(host: FakeHost, started: list[subprocess.Popen[bytes]], program: Path | str, pid_file: str) -> None:
    process = subprocess.Popen([str(program), "60"])
    started.append(process)
    (host.root / "run" / f"{pid_file}.pid").write_text(f"{process.pid}\n", encoding="utf-8")


def test_a_process_of_the_cluster_ends_and_one_that_has_its_old_number_lives_on(
    host: FakeHost, started: list[subprocess.Popen[bytes]]
) -> None:
    _start(host, started, host.add_real("etcd", "/bin/sleep"), "etcd")
    # The kubelet has ended; its number belongs to a program of somebody else now.
    _start(host, started, "/bin/sleep", "kubelet")
    done = host.run("down.sh")
    assert done.returncode == 0, done.stderr
    etcd, foreign = started
    assert etcd.wait(10) == -15
    assert foreign.poll() is None
    assert not list((host.root / "run").glob("*.pid"))


def test_a_process_without_a_pid_file_of_ours_lives_on(host: FakeHost, started: list[subprocess.Popen[bytes]]) -> None:
    process = subprocess.Popen([str(host.add_real("kube-apiserver", "/bin/sleep")), "60"])
    started.append(process)
    assert host.run("down.sh").returncode == 0
    time.sleep(0.1)
    assert process.poll() is None


def test_only_network_namespaces_of_our_pods_are_removed(
    host: FakeHost, started: list[subprocess.Popen[bytes]]
) -> None:
    _start(host, started, host.add_real("containerd", "/bin/sleep"), "containerd")
    assert host.run("down.sh").returncode == 0
    assert [call for call in host.calls("ip") if call[0] == "netns"] == [["netns", "del", _OURS]]
    assert _FOREIGN not in str(host.calls("ip"))
    # Only through our own socket, in the kubelet's namespace.
    assert {tuple(call[:4]) for call in host.calls("ctr")} == {
        ("--address", str(host.root / "run" / "containerd.sock"), "--namespace", "k8s.io")
    }


def test_the_rules_for_unknown_services_are_taken_away_and_no_others(host: FakeHost) -> None:
    assert host.run("down.sh").returncode == 0
    deleted = host.calls("iptables")
    assert [call[call.index("--delete") + 1] for call in deleted] == ["FORWARD", "OUTPUT"]
    assert all("mimo-devcluster" in call for call in deleted)


def test_without_a_containerd_of_ours_none_is_asked(host: FakeHost) -> None:
    assert host.run("down.sh").returncode == 0
    assert host.calls("ctr") == []
    assert host.calls("umount") == [], "nothing of the machine is mounted under our folders"


def test_data_stays_unless_a_purge_is_asked_for(host: FakeHost) -> None:
    assert host.run("down.sh").returncode == 0
    assert all((host.root / folder / "file").exists() for folder in (*_DATA, *_KEPT, "somebody-else"))
    assert host.calls("ip") == []


def test_a_purge_removes_the_data_and_neither_caches_nor_what_others_put_there(host: FakeHost) -> None:
    done = host.run("down.sh", PURGE="1")
    assert done.returncode == 0, done.stderr
    assert [folder for folder in _DATA if (host.root / folder).exists()] == []
    assert all((host.root / folder / "file").exists() for folder in (*_KEPT, "somebody-else"))


@pytest.mark.parametrize("was_added", [True, False])
def test_the_nodes_address_is_taken_away_only_where_the_cluster_had_put_it(host: FakeHost, was_added: bool) -> None:
    if was_added:
        (host.root / "run" / "address-added").touch()
    assert host.run("down.sh", PURGE="1").returncode == 0
    assert (["addr", "del", "10.250.0.1/32", "dev", "lo"] in host.calls("ip")) == was_added
    assert ["link", "del", "mimo-cni0"] in host.calls("ip")


def test_mounts_below_the_folder_are_ours_and_those_beside_it_are_not(tmp_path: Path) -> None:
    """With the line of down.sh that chooses them, over mounts that no test can make."""
    [line] = [text for text in Path("devcluster/down.sh").read_text().splitlines() if text.startswith("unmount_all()")]
    mounts = tmp_path / "mounts"
    folder = "/var/lib/mimo-devcluster"
    mounts.write_text(
        f"a {folder}/run/kubelet/pods/1 tmpfs rw 0 0\n"
        f"b {folder}/run/kubelet/pods/1/volumes/x tmpfs rw 0 0\n"
        f"c {folder}-of-somebody/x tmpfs rw 0 0\n"
        f"d /mnt{folder}/x tmpfs rw 0 0\n"
        f"e {folder} tmpfs rw 0 0\n",
        encoding="utf-8",
    )
    choosing = line.replace("/proc/mounts", str(mounts)).replace("umount --lazy", "echo")
    done = subprocess.run(
        ["bash", "-c", f"MIMO_CLUSTER_ROOT={folder}\n{choosing}\nunmount_all"],
        capture_output=True,
        text=True,
        check=True,
    )
    # The inner one first.
    assert done.stdout.split() == [f"{folder}/run/kubelet/pods/1/volumes/x", f"{folder}/run/kubelet/pods/1"]
