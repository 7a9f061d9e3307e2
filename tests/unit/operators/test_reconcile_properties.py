"""Whatever happens in whatever order, and wherever the controller dies: nothing runs twice, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.mimo_pipeline.api import (
    TERMINAL_PHASES,
    TERMINAL_STATES,
    MimoPipelineSpec,
    Phase,
    RetryRequest,
    StageSpec,
    StageState,
)
from tests.fakes.pipeline_world import FakeWorld

_ACTIONS = ("round", "round", "die", "save", "publish", "exit", "lose", "wait", "suspend", "resume")
_CODES = (0, 1, 2, 75, 137)
_EVENTS = st.lists(
    st.tuples(st.sampled_from(_ACTIONS), st.integers(0, 4), st.sampled_from(_CODES)), min_size=1, max_size=60
)


def _diamond(max_parallel: int) -> MimoPipelineSpec:
    """a -> (b, c) -> d, and an end stage that runs on failure too."""
    stages = (
        StageSpec(name="a"),
        StageSpec(name="b", depends_on=("a",)),
        StageSpec(name="c", depends_on=("a",)),
        StageSpec(name="d", depends_on=("b", "c")),
        StageSpec(name="end", depends_on=("a", "b", "c", "d"), run_on_failure=True),
    )
    return MimoPipelineSpec(profile="tiny", stages=stages, max_parallel_stages=max_parallel)


def _happen(world: FakeWorld, action: str, number: int, code: int) -> None:
    running = world.running()
    attempt = running[number % len(running)] if running else None
    if action == "round":
        world.round()
    elif action == "die":
        world.die_after = number
        world.round()
        world.die_after = None
    elif action == "wait":
        world.wait(number * 20.0)
    elif action in ("suspend", "resume"):
        world.spec = world.spec.model_copy(update={"suspend": action == "suspend"})
    elif attempt is not None:
        _process_event(world, action, attempt, code)


def _process_event(world, action, attempt, code) -> None:
    if action == "save":
        world.save(attempt)
    elif action == "publish":
        world.publish(attempt)
    elif action == "exit":
        world.end(attempt, code)
    elif action == "lose":
        world.end(attempt, None)


def _let_it_finish(world: FakeWorld) -> None:
    """A kind world from now on: processes publish and end, the controller lives, time passes."""
    world.spec = world.spec.model_copy(update={"suspend": False})
    for _ in range(200):
        plan = world.round()
        assert plan is not None
        if plan.is_empty and world.status.phase in TERMINAL_PHASES:
            return
        for attempt in world.running():
            world.publish(attempt)
            world.end(attempt, 0)
        world.wait(30.0)
    raise AssertionError(f"lost: {[(s.name, s.state) for s in world.status.stages]}")


@settings(max_examples=250, deadline=None)
@given(events=_EVENTS, max_parallel=st.integers(1, 3))
def test_no_order_of_events_runs_a_stage_twice_or_loses_one(events, max_parallel) -> None:
    world = FakeWorld(spec=_diamond(max_parallel))
    for action, number, code in events:
        _happen(world, action, number, code)
    _let_it_finish(world)
    assert world.violations == []
    assert all(s.state in TERMINAL_STATES for s in world.status.stages)
    told = [(s.name, s.last_failure) for s in world.status.stages if s.last_failure is not None]
    for name, failure in told:
        [verdict] = [a.verdict for a in world.attempts if (a.stage, a.number) == (name, failure.attempt)]
        assert verdict is not None
        assert (verdict.reason, verdict.message) == (failure.reason, failure.message)
    failed = any(s.state == StageState.FAILED for s in world.status.stages)
    assert world.status.phase == (Phase.FAILED if failed else Phase.SUCCEEDED)
    # Every output that a stage published and that passed is the stage's output: none is forgotten.
    for attempt in world.attempts:
        if attempt.output is not None:
            assert world.status.stage(attempt.stage).state == StageState.SUCCEEDED


@settings(max_examples=100, deadline=None)
@given(events=_EVENTS)
def test_a_settled_world_gets_an_empty_plan_for_ever(events) -> None:
    world = FakeWorld(spec=_diamond(1))
    for action, number, code in events:
        _happen(world, action, number, code)
    _let_it_finish(world)
    for _ in range(3):
        world.wait(1000.0)
        plan = world.round()
        assert plan is not None
        assert plan.is_empty


@settings(max_examples=100, deadline=None)
@given(events=_EVENTS, first=st.sampled_from("abcd"))
def test_a_retry_request_at_any_moment_runs_the_stage_anew_exactly_once(events, first) -> None:
    world = FakeWorld(spec=_diamond(1))
    for action, number, code in events:
        _happen(world, action, number, code)
    before = len([a for a in world.attempts if a.stage == first])
    # The end of a stage counts only if the controller knows it; let it look once.
    for attempt in world.running():
        world.end(attempt, 75)
    world.spec = world.spec.model_copy(update={"retry": RetryRequest(from_stage=first, nonce="again")})
    old_outputs = [a for a in world.attempts if a.output is not None]
    for attempt in old_outputs:
        # The rule "has its output, must not run" starts afresh with the request.
        attempt.key = "before-the-request"
    _let_it_finish(world)
    after = [a for a in world.attempts if a.stage == first]
    state = world.status.stage(first).state
    if state == StageState.SUCCEEDED:
        assert len(after) == before + 1
        assert after[-1].output is not None
    else:
        # A stage before it failed for good.
        assert state in (StageState.SKIPPED, StageState.FAILED)


def test_an_undisturbed_world_runs_every_stage_exactly_once() -> None:
    world = FakeWorld(spec=_diamond(1))
    _let_it_finish(world)
    assert [a.stage for a in world.attempts] == ["a", "b", "c", "d", "end"]
    assert world.status.phase == Phase.SUCCEEDED


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_controller_that_dies_once_at_any_write_of_any_round_changes_nothing(writes) -> None:
    num_deaths = 0
    for point in range(14):
        world = FakeWorld(spec=_diamond(1))
        for _ in range(point):
            world.round()
            for attempt in world.running():
                world.publish(attempt)
                world.end(attempt, 0)
        world.die_after = writes
        num_deaths += world.round() is None
        world.die_after = None
        _let_it_finish(world)
        assert world.violations == []
        assert [a.stage for a in world.attempts] == ["a", "b", "c", "d", "end"]
    assert num_deaths > 0 or writes > 1
