"""The objects that the operator creates, as text: what changes here changes on every cluster."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from operators.mimo_pipeline.builders.config_map import build_config_map
from operators.mimo_pipeline.builders.leaf import build_leaf
from tests.fakes.clusters import STAGES, attempt_of, facts_of

GOLDEN = Path(__file__).parents[1] / "golden" / "children"
_CASES = [(profile, kind) for profile, stages in STAGES.items() for kind in stages]


@pytest.mark.parametrize(("profile", "kind"), _CASES)
def test_the_job_of_a_stage_is_the_golden_one(profile, kind) -> None:
    stage = STAGES[profile][kind]
    _compare(GOLDEN / profile / f"{kind}.yaml", build_leaf(attempt_of(stage), stage, facts_of(profile)))


def test_the_config_map_is_the_golden_one() -> None:
    _compare(GOLDEN / "tiny" / "config_map.yaml", build_config_map(facts_of(), {"profile": "tiny", "seed": 7}))


def _compare(path: Path, rendered: dict[str, object]) -> None:
    text = yaml.dump(rendered, Dumper=_Plain, sort_keys=False, width=110)
    if os.environ.get("MIMO_GOLDEN_UPDATE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run `make golden-update` and say in the commit why it changed"


class _Plain(yaml.SafeDumper):
    """No anchors, scripts as blocks."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Plain.add_representer(str, _text)
