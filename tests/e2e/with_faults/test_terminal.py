"""What `mimo` says of a run on a real cluster, while it runs and after its end, and what it says when it is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.errors import EXIT_PERMANENT
from tests.e2e.kube import Cluster, CommandError
from tests.e2e.release import RELEASE, ROOT
from tests.e2e.with_faults.drive import FOLLOWED, NAMESPACE, PIPELINE, FaultRun, Followed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def _mimo(run: FaultRun, *arguments: str) -> str:
    return run.cluster.run(sys.executable, "-m", "jobs.cli", *arguments, "--pipeline", PIPELINE, "-n", NAMESPACE)


def _json(run: FaultRun, *arguments: str) -> Any:
    return json.loads(_mimo(run, *arguments, "--output", "json"))


def _digests(run: FaultRun) -> dict[str, str]:
    return {s["name"]: s["digest"] for s in run.pipeline()["status"]["stages"]}


def test_mimo_status_shows_every_stage(run: FaultRun) -> None:
    found = _json(run, "status")
    wanted = [s["name"] for s in run.pipeline()["spec"]["stages"]]
    assert {s["name"]: s["state"] for s in found["status"]["stages"]} == dict.fromkeys(wanted, "Succeeded")
    table = _mimo(run, "status")
    assert f"{run.run_id}  Succeeded" in table
    assert table.count("Succeeded") == len(wanted) + 1
    assert "MLflow: http" in table


def test_mimo_runs_lists_it(run: FaultRun) -> None:
    text = run.cluster.run(sys.executable, "-m", "jobs.cli", "runs", "-n", NAMESPACE, "--output", "json")
    [row] = json.loads(text)
    num_stages = len(run.pipeline()["spec"]["stages"])
    assert (row["run"], row["phase"], row["profile"]) == (run.run_id, "Succeeded", "tiny")
    assert row["progress"] == f"{num_stages}/{num_stages}"
    assert row["where"] == f"--pipeline {PIPELINE} -n {NAMESPACE}"


def test_mimo_report_reads_the_store_through_a_forwarded_port_with_the_named_secret(
    run: FaultRun, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    found = _json(run, "report", "--to", str(page))
    attempts = {s["name"]: [a["state"] for a in s["attempts"]] for s in found["stages"]}
    assert {states[-1] for states in attempts.values()} == {"Succeeded"}
    # The faults of this run: what was killed is told beside what succeeded.
    assert any(len(states) > 1 for states in attempts.values())
    assert "<svg" in page.read_text()


def test_mimo_artifacts_lists_every_output_with_its_digest(run: FaultRun) -> None:
    listed = _json(run, "artifacts", "ls")
    assert {a["stage"]: a["digest"] for a in listed} == _digests(run)
    assert min(a["num_files"] for a in listed) > 0
    assert _digests(run)["base"] in _mimo(run, "artifacts", "ls", "--stage", "base")


def test_mimo_artifacts_fetches_a_part_of_an_output(run: FaultRun, tmp_path: Path) -> None:
    found = _json(run, "artifacts", "get", "base", "--path", "tokenizer", "--to", str(tmp_path))
    assert (found["stage"], found["digest"]) == ("base", _digests(run)["base"])
    fetched = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert fetched == set(found["files"])
    assert "tokenizer/tokenizer.json" in fetched
    assert "<|im_start|>" in (tmp_path / "tokenizer/tokenizer.json").read_text()


def test_mimo_artifacts_verifies_every_file_of_an_output(run: FaultRun) -> None:
    checked = _json(run, "artifacts", "verify", "--stage", "base")
    assert [(a["stage"], a["digest"], a["problem"]) for a in checked] == [("base", _digests(run)["base"], "")]


def test_mimo_lineage_goes_from_the_evaluation_to_what_it_was_made_from(run: FaultRun) -> None:
    lineage = _json(run, "lineage")
    found = {a["name"]: a for a in lineage["artifacts"]}
    assert {name: found[name]["digest"] for name in _digests(run)} == _digests(run)
    assert found["evaluate"]["inputs"]["morl"]["digest"] == _digests(run)["morl"]
    assert "projector-warmup" in _mimo(run, "lineage", "--stage", "vision-language-alignment")


@pytest.mark.usefixtures("devcluster_only")
def test_mimo_compare_finds_the_same_configuration_on_the_cluster_and_on_one_machine(run: FaultRun) -> None:
    folder = Path(os.environ.get("MIMO_DEMO_CI_DIR", ROOT / "runs/demo-ci"))
    if not (folder / "pipeline.json").is_file():
        pytest.skip(f"no run of `make demo-ci` in {folder} to compare with")
    command = (sys.executable, "-m", "jobs.cli", "compare", PIPELINE, str(folder), "-n", NAMESPACE)
    found = json.loads(run.cluster.run(*command, "--output", "json"))
    assert found["config"] == []
    assert found["runs"][0]["run"] == run.run_id
    assert f"1: {run.run_id}  Succeeded" in run.cluster.run(*command)


def test_mimo_logs_prints_what_the_pod_wrote(run: FaultRun) -> None:
    assert f"digest={_digests(run)['base']}" in _mimo(run, "logs", "base")


def test_mimo_logs_of_a_rank_are_its_lines_alone(run: FaultRun) -> None:
    stage = "vision-language-alignment"
    everything, first = _mimo(run, "logs", stage), _mimo(run, "logs", stage, "--rank", "0")
    published = f"digest={_digests(run)[stage]}"
    assert published in first
    # A pod's lines are JSON.
    assert set(re.findall(r'"rank": "r(\d+)"', first)) == {"0"}
    assert set(first.splitlines()) < set(everything.splitlines())
    second = _mimo(run, "logs", stage, "--rank", "1")
    assert set(re.findall(r'"rank": "r(\d+)"', second)) == {"1"}
    assert published not in second
    with pytest.raises(CommandError, match=r"exit 2\s+error: --rank: got 2, stage .* has ranks 0 to 1"):
        _mimo(run, "logs", stage, "--rank", "2")


def test_mimo_logs_follows_a_running_stage_to_its_end(watched: FaultRun) -> None:
    """It began in the middle of the stage, so what is said at the end came while it followed."""
    followed: Followed = watched.notes["followed"].result(timeout=60)
    assert followed.step < followed.total
    assert f"digest={_digests(watched)[FOLLOWED]}" in followed.text


_SOME_RIGHTS = (
    {"apiGroups": ["mimo.dev"], "resources": ["mimopipelines"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]},
)
"""What docs/cli.md asks for, without `secrets`."""
_LOOKER = "looker"


@pytest.fixture(scope="module")
def looker(run: FaultRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of somebody who may look at pipelines, and read no Secret."""
    meta = {"name": _LOOKER}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": _SOME_RIGHTS}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _LOOKER},
        "subjects": [{"kind": "ServiceAccount", "name": _LOOKER, "namespace": NAMESPACE}],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    run.cluster.apply(account, role, binding, namespace=NAMESPACE)
    path = tmp_path_factory.mktemp("looker") / "kubeconfig.json"
    path.write_text(json.dumps(_kubeconfig_of(run.cluster, _LOOKER)))
    yield path
    for kind in ("rolebinding", "role", "serviceaccount"):
        run.cluster.kubectl("delete", kind, _LOOKER, "-n", NAMESPACE)


def _kubeconfig_of(cluster: Cluster, account: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        cluster.kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json")
    )
    token = cluster.kubectl("create", "token", account, "-n", NAMESPACE).strip()
    [user] = found["users"]
    user["user"] = {"token": token}
    return found


def test_who_may_look_at_pipelines_sees_their_status(run: FaultRun, looker: Path) -> None:
    """So the refusal is of the Secret alone."""
    found = _as_looker(run, looker, "status", "--output", "json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["status"]["phase"] == "Succeeded"


def test_a_refusal_by_rbac_is_one_line_that_names_the_secret_and_the_remedy(run: FaultRun, looker: Path) -> None:
    found = _as_looker(run, looker, "artifacts", "ls")
    assert (found.returncode, found.stdout) == (EXIT_PERMANENT, "")
    [line] = found.stderr.splitlines()
    assert line.startswith("error: keys of the store: the cluster refuses: ")
    assert f'secrets "{RELEASE}-store" is forbidden' in line
    assert "ask for a Role that allows it" in line
    assert "AWS_ACCESS_KEY_ID" in line


def _as_looker(run: FaultRun, kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "jobs.cli", *arguments, "--pipeline", PIPELINE, "-n", NAMESPACE)
    environ = {**run.cluster.command_environ(), "KUBECONFIG": str(kubeconfig)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
