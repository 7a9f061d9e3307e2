"""Groups of a Ray cluster, and what killed runs leave on one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mimo_vl.errors import ConfigError
from mimo_vl.rl.actors.cluster import Group, gpu_shares, missing_groups, placement, remove_stale_folders


def test_only_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [f"mray{ended.pid}-abc", f"mray{os.getpid()}-abc", "mrayabc", "mray-of-mine", "other"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / names[0] / "socket").touch()
    remove_stale_folders(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_a_group_without_a_node_is_missing() -> None:
    resources = {"CPU": 3.0, "head": 1.0, "trainer": 1.0, "reward": 0.0}
    assert missing_groups(resources) == ["rollout", "reward"]
    assert missing_groups({str(group): 1.0 for group in Group}) == []


def test_the_head_is_asked_for_no_cpu_and_ten_actors_fit_a_pod_of_one() -> None:
    assert placement(Group.HEAD)["num_cpus"] == 0
    options = placement(Group.ROLLOUT)
    assert options["num_cpus"] * 10 <= 1
    assert list(options["resources"]) == ["rollout"]


PODS_WITH_GPUS = [
    {"CPU": 0.0, "head": 1.0},
    {"CPU": 12.0, "trainer": 1.0, "GPU": 1.0},
    {"CPU": 12.0, "rollout": 1.0, "GPU": 1.0},
    {"CPU": 12.0, "reward": 1.0, "GPU": 1.0},
]
ACTORS = {Group.TRAINER: 32, Group.ROLLOUT: 16, Group.REWARD: 2}


def _machine(num_gpus: float) -> list[dict[str, float]]:
    return [{"CPU": 8.0, "GPU": num_gpus, **{str(group): 1.0 for group in Group}}]


def test_workers_of_groups_with_gpus_ask_for_one_each_and_reward_models_share_their_pods() -> None:
    # Only one of 32 trainer pods is up yet: the others are waited for.
    assert gpu_shares(PODS_WITH_GPUS, ACTORS) == {Group.TRAINER: 1.0, Group.ROLLOUT: 1.0, Group.REWARD: 0.5}
    assert placement(Group.REWARD, 0.5)["num_gpus"] == 0.5


def test_groups_without_gpus_ask_for_none() -> None:
    nodes = [{name: amount for name, amount in node.items() if name != "GPU"} for node in PODS_WITH_GPUS]
    assert gpu_shares(nodes, ACTORS) == dict.fromkeys(ACTORS, 0.0)
    assert "num_gpus" not in placement(Group.TRAINER, 0.0)
    nodes[1]["GPU"] = 1.0
    assert gpu_shares(nodes, ACTORS) == {Group.TRAINER: 1.0, Group.ROLLOUT: 0.0, Group.REWARD: 0.0}


def test_all_processes_of_one_machine_share_its_gpus() -> None:
    actors = {Group.TRAINER: 1, Group.ROLLOUT: 2, Group.REWARD: 2}
    assert gpu_shares(_machine(1.0), actors) == dict.fromkeys(actors, 0.2)
    # Five on two GPUs: three on one of them.
    assert gpu_shares(_machine(2.0), actors) == dict.fromkeys(actors, 1 / 3)
    assert gpu_shares(_machine(8.0), actors) == dict.fromkeys(actors, 1.0)
    assert gpu_shares(_machine(0.0), actors) == dict.fromkeys(actors, 0.0)


def test_trainer_workers_never_share_a_gpu() -> None:
    actors = {Group.TRAINER: 2, Group.ROLLOUT: 1, Group.REWARD: 2}
    with pytest.raises(ConfigError, match=r"rl\.num_trainer_workers: got 2, wanted 1"):
        gpu_shares(_machine(2.0), actors)
    assert gpu_shares(_machine(8.0), actors)[Group.TRAINER] == 1.0
