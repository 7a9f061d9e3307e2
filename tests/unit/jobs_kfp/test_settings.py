"""Where a step finds its token for the API of Kubeflow Pipelines, and what steps on one machine are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import kfp_settings
from jobs.kfp_settings import kubeflow_token_file, local_step_environment


@pytest.fixture(autouse=True)
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Kubeflow would mount it; nothing is there yet."""
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)
    monkeypatch.setattr(kfp_settings, "_TOKEN", str(tmp_path / "mounted"))
    return tmp_path / "mounted"


def test_the_token_is_taken_from_where_kubeflow_mounts_it(mounted: Path) -> None:
    mounted.write_text("secret")
    assert kubeflow_token_file() == mounted


def test_the_variable_of_kubeflows_client_names_another_file(
    mounted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted.write_text("secret")
    (tmp_path / "other").write_text("another secret")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "other"))
    assert kubeflow_token_file() == tmp_path / "other"


@pytest.mark.parametrize("named", ["", "absent", "."])
def test_a_pod_without_a_token_asks_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    if named:
        # A folder is no token.
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / named))
    assert kubeflow_token_file() is None


def test_steps_on_this_machine_import_these_sources_and_not_another_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/of/the/caller")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("MIMO_STORE", "file:///store")
    environment = local_step_environment(tmp_path)
    assert environment["PYTHONPATH"] == str(tmp_path)
    assert environment["MIMO_STORE"] == "file:///store"
    assert {"VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}.isdisjoint(environment)
