"""Whatever happens in whatever order, and wherever the controller dies: nothing runs twice, nothing is lost."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mimo_vl.schema.verdict import AttemptEnd
from operators.mimo_pipeline.api import (
    TERMINAL_PHASES,
    TERMINAL_STATES,
    Approval,
    Comparison,
    Gate,
    MimoPipelineSpec,
    Phase,
    StageSpec,
    StageState,
)
from tests.fakes.pipeline_world import Attempt, FakeWorld
from tests.fakes.pipelines import with_stage

_ACTIONS = ("round", "round", "die", "save", "publish", "exit", "lose", "wait", "suspend", "resume")
# More rounds and more attempts that end well: approvals and gates come behind the first stage.
_STEERED_ACTIONS = (*_ACTIONS, *("round", "finish") * 4, "approve", "retry", "cancel")
_CODES = (0, 1, 2, 75, 137)
_STAGES = ("a", "b", "c", "d", "end")


def _events_of(actions: tuple[str, ...], min_size: int = 1) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    event = st.tuples(st.sampled_from(actions), st.integers(0, 4), st.sampled_from(_CODES))
    return st.lists(event, min_size=min_size, max_size=60)


_EVENTS, _STEERED_EVENTS = _events_of(_ACTIONS), _events_of(_STEERED_ACTIONS, min_size=20)


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


def _steered(max_parallel: int) -> MimoPipelineSpec:
    """The diamond, where b needs a person's approval and c a score."""
    gate = Gate(metric="score", comparison=Comparison.GE, threshold=0.5)
    spec = with_stage(_diamond(max_parallel), "b", approval=Approval.MANUAL)
    return with_stage(spec, "c", gate=gate)


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
        world.edit(suspend=action == "suspend")
    elif action in ("cancel", "approve", "retry"):
        _user_event(world, action, number)
    elif attempt is not None:
        _process_event(world, action, attempt, number, code)


def _user_event(world: FakeWorld, action: str, number: int) -> None:
    if action == "cancel":
        # There is no way back, and nothing more to see: one in five.
        world.edit(cancel=world.spec.cancel or number == 0)
    elif action == "approve":
        world.approve("b")
    else:
        # One nonce between two rounds is one request.
        world.retry(_STAGES[number], nonce=f"after-round-{world.num_rounds}-{_STAGES[number]}")


def _process_event(world: FakeWorld, action: str, attempt: Attempt, number: int, code: int) -> None:
    if action == "save":
        world.save(attempt)
    elif action == "publish":
        world.publish(attempt, score=float(number > 0))
    elif action == "finish":
        # One in five does not meet the gate.
        world.publish(attempt, score=float(number > 0))
        world.end(attempt, 0)
    elif action == "exit":
        world.end(attempt, code)
    elif action == "lose":
        world.end(attempt, None)


def _let_it_finish(world: FakeWorld) -> None:
    """A kind world from now on: processes publish and end, the controller lives, time passes."""
    world.edit(suspend=False)
    for _ in range(200):
        plan = world.round()
        assert plan is not None
        if plan.is_empty and world.status.phase in TERMINAL_PHASES:
            return
        for attempt in world.running():
            world.publish(attempt, score=1.0)
            world.end(attempt, 0)
        for stage in world.status.stages:
            if stage.state == StageState.AWAITING_APPROVAL:
                world.approve(stage.name)
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
    world.retry(first, nonce="again")
    _let_it_finish(world)
    assert world.violations == []
    after = [a for a in world.attempts if a.stage == first]
    state = world.status.stage(first).state
    if state == StageState.SUCCEEDED:
        assert len(after) == before + 1
        assert after[-1].output is not None
    else:
        # A stage before it failed for good.
        assert state in (StageState.SKIPPED, StageState.FAILED)


_ROUNDS = [("round", 0, 0)] * 4
_FINISH = ("finish", 0, 0)
_APPROVED_TOO_LATE = [*_ROUNDS, _FINISH, *_ROUNDS, _FINISH, ("cancel", 0, 0), *_ROUNDS, ("approve", 0, 0)]


@settings(max_examples=100, deadline=None)
@given(events=_STEERED_EVENTS, max_parallel=st.integers(1, 3))
@example(events=_APPROVED_TOO_LATE, max_parallel=1)
def test_whatever_a_person_does_meanwhile_no_stage_runs_twice_and_none_is_lost(events, max_parallel) -> None:
    world = FakeWorld(spec=_steered(max_parallel))
    for action, number, code in events:
        _happen(world, action, number, code)
    _let_it_finish(world)
    # Among them: a start in a cancelled or suspended pipeline, and a second run of what nobody asked to run again.
    assert world.violations == []
    states = {s.name: s.state for s in world.status.stages}
    assert set(states.values()) <= TERMINAL_STATES
    has_succeeded = set(states.values()) == {StageState.SUCCEEDED}
    without = Phase.CANCELLED if world.spec.cancel else Phase.FAILED
    assert world.status.phase == (Phase.SUCCEEDED if has_succeeded else without)
    for attempt in world.attempts:
        if attempt.output is not None and not attempt.is_outdated:
            assert states[attempt.stage] == _state_with_output(world, attempt), attempt
    world.wait(1000.0)
    plan = world.round()
    assert plan is not None
    assert plan.is_empty


def _state_with_output(world: FakeWorld, attempt: Attempt) -> StageState:
    """Where a stage ends whose latest wanted attempt has published."""
    assert attempt.output is not None
    if attempt.stage == "c" and attempt.output.metrics["score"] < 0.5:
        return StageState.FAILED
    # What is approved after the pipeline was cancelled comes too late.
    approvals = world.approvals_when_skipped.get("b", world.spec.approvals)
    is_approved = any(a.stage == "b" and a.key == attempt.key for a in approvals)
    if attempt.stage == "b" and not is_approved:
        # Only a cancelled pipeline ends without being asked.
        assert world.spec.cancel
        return StageState.SKIPPED
    return StageState.SUCCEEDED


@settings(max_examples=60, deadline=None)
@given(before=_STEERED_EVENTS, after=_STEERED_EVENTS)
def test_a_cancelled_pipeline_creates_nothing_whatever_is_asked_of_it_afterwards(before, after) -> None:
    world = FakeWorld(spec=_steered(2))
    for action, number, code in before:
        _happen(world, action, number, code)
    world.edit(cancel=True)
    num_attempts = len(world.attempts)
    for action, number, code in after:
        _happen(world, action, number, code)
    _let_it_finish(world)
    assert len(world.attempts) == num_attempts
    assert world.running() == []


def test_random_events_reach_what_a_person_and_a_gate_can_do() -> None:
    """Without it the properties above would hold of pipelines that never get so far."""
    chance, seen = random.Random(0), set()
    for _ in range(60):
        world = FakeWorld(spec=_steered(1))
        for _ in range(60):
            _happen(world, chance.choice(_STEERED_ACTIONS), chance.randrange(5), chance.choice(_CODES))
            seen |= {str(world.status.phase), *(s.reason for s in world.status.stages)}
    assert {"AwaitingApproval", "Approved", "GateNotMet", "Cancelled", "RetryRequested", "Stopping"} <= seen
    assert {"Cancelled", "Failed", "Suspended", "AwaitingApproval"} <= seen


def test_an_attempt_that_a_retry_made_before_a_crash_is_stopped_and_concluded() -> None:
    world = FakeWorld(spec=_diamond(1))
    for action in ("round", "round", "finish"):
        _happen(world, action, 1, 0)
    world.retry("a", nonce="again")
    # Created, then the controller died: the status still shows the attempt before.
    _happen(world, "die", 1, 0)
    assert [(a.number, a.alive) for a in world.attempts] == [(1, False), (2, True)]
    assert world.status.stage("a").attempt == 1
    world.round()
    assert world.attempts[1].asked_to_stop_at is not None
    world.end(world.attempts[1], 75)
    _let_it_finish(world)
    assert world.violations == []
    assert [a.number for a in world.attempts if a.stage == "a"] == [1, 2, 3]
    assert world.attempts[1].verdict is not None
    assert world.attempts[1].verdict.state == AttemptEnd.INTERRUPTED


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
