"""The rules that the other tests apply do refuse what a restricted namespace refuses."""

from __future__ import annotations

import copy

import pytest

from operators.mimo_pipeline.builders.job import build_job
from tests.fakes.clusters import JOB, attempt_of, facts_of
from tests.fakes.pod_security import restricted_violations


def _without_non_root(spec):
    del spec["securityContext"]["runAsNonRoot"]


def _as_root(spec):
    spec["securityContext"]["runAsUser"] = 0


def _without_seccomp(spec):
    del spec["securityContext"]["seccompProfile"]


def _host_path(spec):
    spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}})


def _escalating(spec):
    del spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"]


def _with_capabilities(spec):
    spec["containers"][0]["securityContext"]["capabilities"] = {"add": ["IPC_LOCK"]}


def _bare_init_container(spec):
    spec["initContainers"] = [{"name": "wait"}]


def _host_network(spec):
    spec["hostNetwork"] = True


def test_what_we_render_is_admitted() -> None:
    assert restricted_violations(build_job(attempt_of(JOB), JOB, facts_of())["spec"]["template"]) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_non_root, "runAsNonRoot"),
        (_as_root, "numeric user"),
        (_without_seccomp, "seccomp"),
        (_host_path, "hostPath"),
        (_escalating, "allowPrivilegeEscalation"),
        (_with_capabilities, "IPC_LOCK"),
        (_bare_init_container, "wait: capabilities ALL"),
        (_host_network, "hostNetwork"),
    ],
)
def test_what_restricted_forbids_is_found(spoil, words) -> None:
    template = copy.deepcopy(build_job(attempt_of(JOB), JOB, facts_of())["spec"]["template"])
    spoil(template["spec"])
    assert words in " ".join(restricted_violations(template))
