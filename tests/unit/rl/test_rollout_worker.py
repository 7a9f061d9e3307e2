"""A rollout worker's engine is made as the configuration says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mimo_vl.rl import rollout_worker
from mimo_vl.rl.worker_settings import WorkerSettings
from tests.unit.rl.builders import config


def test_the_engine_writes_as_many_answers_at_once_as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(rollout_worker, "load_engine", lambda *_, **arguments: made.append(arguments))
    settings = SimpleNamespace(
        rl=config(answers_at_once=24),
        rollout_threads=1,
        policy_dir=lambda: Path("policy"),
        build_encoder=lambda: None,
        build_prompts=lambda _: None,
    )
    rollout_worker.build_rollout_worker(cast(WorkerSettings, settings))
    assert [arguments["max_rows"] for arguments in made] == [24]
