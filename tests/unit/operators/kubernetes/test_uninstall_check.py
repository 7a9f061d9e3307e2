from __future__ import annotations

from typing import Any

import pytest

from operators.mimo_pipeline.kubernetes.cluster import ApiError
from operators.mimo_pipeline.kubernetes.uninstall_check import refusal, running_pipelines


class _Api:
    """Only lists; `phases`: namespace -> name -> phase."""

    def __init__(self, phases: dict[str, dict[str, str]], error: ApiError | None = None) -> None:
        self.phases, self.error = phases, error

    def list(self, resource: Any, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        if self.error:
            raise self.error
        return [
            {"metadata": {"namespace": namespace, "name": name}, "status": {"phase": phase} if phase else {}}
            for name, phase in self.phases.get(namespace, {}).items()
        ]


def test_running_pipelines_of_all_namespaces_are_named() -> None:
    api = _Api({"b": {"two": "Running"}, "a": {"one": "Running"}, "other": {"three": "Running"}})
    assert running_pipelines(api, ("b", "a")) == ["a/one", "b/two"]  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", ["", "Pending", "Suspended", "AwaitingApproval", "Succeeded", "Failed", "Cancelled"])
def test_a_pipeline_without_running_jobs_holds_nothing_up(phase: str) -> None:
    assert running_pipelines(_Api({"a": {"one": phase}}), ("a",)) == []  # type: ignore[arg-type]


def test_nothing_runs_where_the_crd_is_gone() -> None:
    assert running_pipelines(_Api({}, ApiError(404, "NotFound", "no such resource")), ("a",)) == []  # type: ignore[arg-type]


def test_an_api_server_that_does_not_answer_is_no_consent() -> None:
    with pytest.raises(ApiError):
        running_pipelines(_Api({}, ApiError(503, "Unavailable", "try later")), ("a",))  # type: ignore[arg-type]


def test_a_refusal_names_the_pipelines_and_how_to_keep_the_release() -> None:
    text = refusal(["a/one", "b/two"])
    assert text.startswith("pipelines run: a/one, b/two;")
    assert "`helm rollback RELEASE REVISION`" in text
