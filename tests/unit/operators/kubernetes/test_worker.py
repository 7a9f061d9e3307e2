"""Workers: what one round's result or error means for its key, and that no key harms another."""

from __future__ import annotations

import asyncio

from operators.mimo_pipeline.kubernetes.cluster import ApiError
from operators.mimo_pipeline.kubernetes.worker import Key, Workers
from operators.mimo_pipeline.operator_metrics import OperatorMetrics

A, B = Key("team", "a"), Key("team", "b")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _workers(round_: object) -> tuple[Workers, Clock]:
    clock = Clock()
    return Workers(round=round_, metrics=OperatorMetrics(), clock=clock), clock  # type: ignore[arg-type]


def _take_and_work(workers: Workers, clock: Clock) -> None:
    key = workers.schedule.take(clock())
    assert key is not None
    asyncio.run(workers.work_off(key))


def test_a_round_says_when_to_look_again() -> None:
    workers, clock = _workers(lambda *_: 7.0)
    workers.add(*A)
    _take_and_work(workers, clock)
    assert workers.schedule.next_due_s() == 107.0


def test_a_round_without_wish_is_over() -> None:
    workers, clock = _workers(lambda *_: None)
    workers.add(*A)
    _take_and_work(workers, clock)
    assert workers.schedule.next_due_s() is None


def test_a_conflict_looks_again_at_once_and_is_no_error() -> None:
    def conflict(*_: str) -> float:
        raise ApiError(409, "Conflict", "modified")

    workers, clock = _workers(conflict)
    workers.add(*A)
    _take_and_work(workers, clock)
    assert workers.schedule.next_due_s() == 100.0
    assert workers.metrics.registry.get_sample_value("mimo_operator_conflicts_total") == 1.0


def test_an_error_backs_off_its_own_key_only() -> None:
    def fail(_: str, name: str) -> float | None:
        if name == "a":
            raise ZeroDivisionError
        return None

    workers, clock = _workers(fail)
    workers.add(*A)
    workers.add(*B)
    _take_and_work(workers, clock)
    _take_and_work(workers, clock)
    assert workers.schedule.take(100.5) is None
    assert workers.schedule.take(101.0) == A
    errors = workers.metrics.registry.get_sample_value("mimo_operator_errors_total", {"kind": "ZeroDivisionError"})
    assert errors == 1.0


def test_running_workers_take_a_key_as_soon_as_it_is_added() -> None:
    done: list[str] = []

    async def scenario() -> None:
        workers = Workers(round=lambda _, name: done.append(name), metrics=OperatorMetrics(), num_workers=2)
        running = asyncio.create_task(workers.run())
        await asyncio.sleep(0)
        workers.add(*A)
        workers.add(*B)
        async with asyncio.timeout(5):
            while len(done) < 2:
                await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(scenario())
    assert sorted(done) == ["a", "b"]
