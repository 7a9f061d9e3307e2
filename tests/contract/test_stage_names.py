"""Stage names live in several places and are the same in all: vocabulary, graph, modules, configuration files."""

from __future__ import annotations

import importlib.util

import pytest

from mimo_vl.config.compose import CONF_DIR
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES, StageName
from operators.mimo_pipeline.api import StageKind
from operators.mimo_pipeline.builders.process import STAGE_MODULES
from operators.mimo_pipeline.stage_graph import default_graph

_ALL = {s.value for s in StageName}


def test_the_default_graph_has_exactly_the_stages_of_the_vocabulary() -> None:
    assert {s.name for s in default_graph()} == _ALL


def test_every_stage_has_a_module() -> None:
    assert {str(name) for name in STAGE_MODULES} == _ALL


@pytest.mark.parametrize("module", sorted(set(STAGE_MODULES.values())))
def test_the_module_of_a_stage_exists(module) -> None:
    assert importlib.util.find_spec(module) is not None


def test_configuration_files_are_named_like_the_stages() -> None:
    assert {p.stem for p in (CONF_DIR / "stage").glob("*.yaml")} == {s.value for s in PRETRAINING_STAGES}
    assert {p.stem for p in (CONF_DIR / "reward_model").glob("*.yaml")} == {s.value for s in REWARD_MODEL_STAGES}


def test_stages_that_train_by_ranks_are_torch_stages() -> None:
    torch_stages = {s.name for s in default_graph() if s.kind == StageKind.PYTORCH}
    assert torch_stages == {s.value for s in (*PRETRAINING_STAGES, *REWARD_MODEL_STAGES)}
