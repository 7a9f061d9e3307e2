"""Graphs: what the default one is, which are refused, which parts of one may be run."""

from __future__ import annotations

import pytest

from mimo_vl.errors import ConfigError
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import InputSpec, MimoPipelineSpec, RetryPolicy, StageKind, StageSpec
from operators.mimo_pipeline.stage_graph import default_graph, descendants, only, problems, topological, up_to


def _spec(*stages: StageSpec, **changes) -> MimoPipelineSpec:
    return MimoPipelineSpec(profile="tiny", stages=stages, **changes)


def test_the_default_graph_is_valid_and_has_every_stage_in_order() -> None:
    graph = default_graph()
    assert [s.name for s in graph] == [s.value for s in StageName]
    assert problems("demo", _spec(*graph)) == []
    assert [s.name for s in topological(graph)] == [s.value for s in StageName]


def test_only_finalize_runs_on_failure_and_it_needs_all_others() -> None:
    graph = default_graph()
    last = graph[-1]
    assert [s.name for s in graph if s.run_on_failure] == ["finalize"]
    assert set(last.depends_on) == {s.name for s in graph} - {"finalize"}


def test_morl_is_a_ray_stage_and_training_stages_are_torch() -> None:
    kinds = {s.name: s.kind for s in default_graph()}
    assert kinds["morl"] == StageKind.RAY
    assert kinds["projector-warmup"] == kinds["reward-model-text"] == StageKind.PYTORCH
    assert kinds["evaluate"] == StageKind.JOB


def test_a_given_artifact_replaces_its_stage() -> None:
    given = InputSpec(name="base", uri="s3://b/base", digest="sha256:x")
    graph = default_graph(inputs=[given])
    curate = next(s for s in graph if s.name == "curate")
    assert "base" not in [s.name for s in graph]
    assert (curate.depends_on, curate.inputs) == ((), ("base",))
    assert problems("demo", _spec(*graph, inputs=(given,))) == []


def test_a_circle_is_named() -> None:
    a, b = StageSpec(name="a", depends_on=("b",)), StageSpec(name="b", depends_on=("a",))
    (problem,) = problems("demo", _spec(a, b, StageSpec(name="c")))
    assert "['a', 'b']" in problem


def test_every_problem_is_reported_at_once() -> None:
    a = StageSpec(name="a", depends_on=("nowhere",))
    found = problems("demo", _spec(a, a, StageSpec(name="b", inputs=("no-input",))))
    assert len([p for p in found if "nowhere" in p]) == 2
    assert any("2 times" in p for p in found)
    assert any("no-input" in p for p in found)


def test_names_that_are_too_long_together_are_refused() -> None:
    stage = StageSpec(name="s" * 20)
    assert problems("p" * 22, _spec(stage)) == []
    assert "43 characters" in problems("p" * 23, _spec(stage))[0]


@pytest.mark.parametrize("name", ["demo.v1", "1demo", "Demo", "demo-", ""])
def test_a_pipeline_whose_name_no_job_can_have_is_refused(name) -> None:
    (problem,) = problems(name, _spec(StageSpec(name="a")))
    assert problem.startswith(f"metadata.name: got {name!r}, wanted lower-case letters")


def test_a_first_back_off_above_the_largest_is_refused() -> None:
    stage = StageSpec(name="a", retry=RetryPolicy(backoff_seconds=10, max_backoff_seconds=5))
    assert "spec.stages[a].retry: backoffSeconds is larger" in problems("demo", _spec(stage))[0]


def test_up_to_keeps_what_the_last_stage_needs() -> None:
    assert [s.name for s in up_to(default_graph(), "projector-warmup")] == ["base", "curate", "projector-warmup"]


def test_only_refuses_a_stage_without_what_it_needs_but_lets_finalize_do_with_less() -> None:
    kept = only(default_graph(), ["base", "finalize"])
    assert kept[1].depends_on == ("base",)
    with pytest.raises(ConfigError, match="curate needs"):
        only(default_graph(), ["curate"])


def test_an_unknown_stage_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"\['sft'\] unknown; choose from \['base'"):
        up_to(default_graph(), "sft")


def test_descendants_follow_every_path() -> None:
    assert descendants(default_graph(), "morl") == {"morl", "evaluate", "finalize"}
