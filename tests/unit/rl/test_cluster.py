"""Groups of a Ray cluster, and what killed runs leave on one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mimo_vl.rl.actors.cluster import Group, missing_groups, placement, remove_stale_folders


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
