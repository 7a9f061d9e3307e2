"""Events only put keys into the queue; kopf is set up to watch and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from operators.mimo_pipeline.kubernetes.handlers import build_registry, build_settings, note_event, watched
from operators.mimo_pipeline.kubernetes.resources import JOBS, PIPELINES, PODS, PYTORCH_JOBS, RAY_JOBS
from operators.mimo_pipeline.pod_history import PodHistory

_LABELS = {"mimo.dev/pipeline": "demo", "mimo.dev/stage": "base", "mimo.dev/attempt": "1"}


def _events(resource: Any, metadata: dict[str, Any], history: PodHistory | None = None) -> list[tuple[str, str, bool]]:
    noted: list[tuple[str, str, bool]] = []
    body = {"metadata": {"namespace": "team", **metadata}, "status": {}}
    note_event(resource, body, lambda *event: noted.append(event), history or PodHistory())
    return noted


def test_an_event_of_a_pipeline_is_its_key() -> None:
    assert _events(PIPELINES, {"name": "demo"}) == [("team", "demo", True)]


@pytest.mark.parametrize("resource", [JOBS, PYTORCH_JOBS, RAY_JOBS, PODS])
def test_an_event_of_a_child_is_the_key_of_its_pipeline(resource: Any) -> None:
    assert _events(resource, {"name": "x", "uid": "u", "labels": _LABELS}) == [("team", "demo", False)]


def test_objects_of_others_are_no_event() -> None:
    assert _events(JOBS, {"name": "x", "labels": {"app": "other"}}) == []


def test_pods_are_remembered_after_they_are_gone() -> None:
    history = PodHistory()
    _events(PODS, {"name": "x", "uid": "u", "labels": _LABELS}, history)
    assert [p.uid for p in history.of("team", "demo")] == ["u"]
    history.forget("team", "demo")
    assert history.of("team", "demo") == []


def test_only_installed_kinds_are_watched() -> None:
    assert watched({JOBS, RAY_JOBS}) == [PIPELINES, PODS, JOBS, RAY_JOBS]


def test_no_handler_adds_a_finalizer_or_keeps_progress() -> None:
    registry = build_registry([PIPELINES, PODS, JOBS], lambda *_: None, PodHistory())
    assert len(list(registry._watching.get_all_handlers())) == 3
    assert list(registry._changing.get_all_handlers()) == []
    assert list(registry._spawning.get_all_handlers()) == []


def test_watches_end_by_themselves_and_nothing_is_posted() -> None:
    settings = build_settings()
    watching = settings.watching
    assert (watching.server_timeout, watching.client_timeout, watching.connect_timeout) == (300, 330, 30)
    assert (watching.inactivity_timeout, settings.posting.enabled, settings.scanning.disabled) == (70, False, True)
    assert settings.peering.standalone
    assert settings.persistence.finalizer.startswith("mimo.dev/")
