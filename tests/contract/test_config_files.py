"""Facts that live in two places: configuration files, stage names, lock files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mimo_vl.config.compose import CONF_DIR, compose, dump_config, list_profiles
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "config"


def test_stage_files_are_the_stage_names() -> None:
    assert sorted(p.stem for p in (CONF_DIR / "stage").glob("*.yaml")) == sorted(PRETRAINING_STAGES)
    assert sorted(p.stem for p in (CONF_DIR / "reward_model").glob("*.yaml")) == sorted(REWARD_MODEL_STAGES)


def test_every_override_set_composes() -> None:
    sets = sorted((CONF_DIR / "overrides").glob("*.yaml"))
    assert sets
    for path in sets:
        compose("tiny", [f"@{path.stem}"])


@pytest.mark.parametrize("group", ["storage", "tracking"])
def test_every_alternative_of_a_group_composes(group: str) -> None:
    files = sorted((CONF_DIR / group).glob("*.yaml"))
    assert files
    for path in files:
        compose("tiny", [f"{group}={path.stem}"])


@pytest.mark.parametrize("profile", list_profiles())
def test_the_composed_config_is_the_golden_one(profile: str) -> None:
    path, text = GOLDEN / f"{profile}.yaml", dump_config(compose(profile))
    if os.environ.get("MIMO_GOLDEN_UPDATE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run `make golden-update` and say in the commit why it changed"


def test_lock_files_hold_hashes_and_no_address() -> None:
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert {p.stem for p in locks} >= {"all", "train", "dev", "bench", "operator"}
    for path in locks:
        text = path.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--index-url|--extra-index-url|--find-links", text), path.name


# kfp wants protobuf 6 where mlflow and ray have 7: the reason why it has an environment of its own.
_APART = {("kfp", "protobuf")}


def test_the_same_package_has_the_same_pin_in_every_lock_file() -> None:
    pins: dict[str, set[str]] = {}
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\]+) \\$", path.read_text(encoding="utf-8"), re.M):
            if (path.stem, name) not in _APART:
                pins.setdefault(name, set()).add(version)
    assert len(pins) > 50
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}
