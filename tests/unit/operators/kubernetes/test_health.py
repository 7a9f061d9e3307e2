"""Liveness: a stalled watch, a stuck worker and an old lease each say what is wrong."""

from __future__ import annotations

from operators.mimo_pipeline.kubernetes.health import Health


class _Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _health() -> tuple[Health, _Clock]:
    clock = _Clock()
    return Health(clock=clock), clock


def test_a_quiet_cluster_is_healthy() -> None:
    health, clock = _health()
    clock.now_s += 100_000
    assert health.problems() == []


def test_a_status_write_that_never_comes_back_means_that_the_watch_is_dead() -> None:
    health, clock = _health()
    health.status_written("team", "demo", clock.now_s)
    clock.now_s += 179
    assert health.problems() == []
    clock.now_s += 2
    assert health.problems() == ["watch: no event of team/demo for 180 s after its status was written"]


def test_an_event_that_comes_before_the_answer_of_the_write_is_the_one_that_is_due() -> None:
    health, clock = _health()
    health.event_seen("team", "demo")
    began_s = clock.now_s = 2000.0
    health.event_seen("team", "other")
    clock.now_s = 2000.1
    health.event_seen("team", "demo")
    health.status_written("team", "demo", began_s)
    clock.now_s = 3000.0
    assert health.problems() == []


def test_an_event_of_before_the_write_settles_nothing() -> None:
    health, clock = _health()
    health.event_seen("team", "demo")
    clock.now_s += 1
    health.status_written("team", "demo", clock.now_s)
    clock.now_s += 181
    assert len(health.problems()) == 1


def test_its_event_or_a_new_watch_settles_it() -> None:
    health, clock = _health()
    health.status_written("team", "demo", clock.now_s)
    clock.now_s += 1
    health.event_seen("team", "demo")
    health.status_written("team", "other", clock.now_s)
    health.watch_restarted()
    clock.now_s += 500
    assert health.problems() == []
    assert health.event_age_s() == 500


def test_a_worker_in_one_round_for_ten_minutes_is_stuck() -> None:
    health, clock = _health()
    health.worker_beats_s = {0: 1000.0, 1: 1500.0}
    clock.now_s = 1601.0
    assert health.problems() == ["worker 0: in one round for 601 s"]


def test_an_old_lease_is_told() -> None:
    health, _ = _health()
    health.lease_age_s = lambda: 31.0
    assert health.problems() == ["lease: not looked at for 31 s"]
