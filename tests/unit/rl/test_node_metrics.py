"""What the driver hears of other nodes, and that nothing of it can harm the training."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from mimo_vl.rl.node_metrics import NodeMetricsThread

_BUSY = {"system/cpu_utilization_percentage/node-1": 50.0}


class FakeProbes:
    def __init__(self, *answers: Mapping[str, float] | Exception) -> None:
        self._answers = list(answers)
        self.asked_for_s: list[float] = []
        self.is_drained = threading.Event()
        self.was_stopped = False

    def sample(self, timeout_s: float) -> Mapping[str, float]:
        self.asked_for_s.append(timeout_s)
        if not self._answers:
            self.is_drained.set()
            return {}
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        self.was_stopped = True
        raise RuntimeError("Ray is gone")


def _heard(*answers: Mapping[str, float] | Exception) -> tuple[FakeProbes, list[tuple[int, Mapping[str, float]]]]:
    probes, heard = FakeProbes(*answers), []
    thread = NodeMetricsThread(probes, lambda values, index: heard.append((index, values)), interval_s=0.001)
    thread.start()
    assert probes.is_drained.wait(20)
    thread.stop()
    return probes, heard


def test_samples_are_counted_and_a_look_without_an_answer_is_none() -> None:
    probes, heard = _heard(_BUSY, {}, _BUSY)
    assert heard == [(0, _BUSY), (1, _BUSY)]
    assert probes.was_stopped


def test_a_look_that_fails_is_followed_by_the_next() -> None:
    _, heard = _heard(ConnectionError("GCS is away"), _BUSY)
    assert heard == [(0, _BUSY)]


def test_a_report_that_fails_is_followed_by_the_next() -> None:
    probes, told = FakeProbes(_BUSY, _BUSY), []

    def report(values: Mapping[str, float], index: int) -> None:
        told.append(index)
        raise OSError("disk full")

    thread = NodeMetricsThread(probes, report, interval_s=0.001)
    thread.start()
    assert probes.is_drained.wait(20)
    thread.stop()
    assert told == [0, 0]


def test_a_look_is_short_however_rare() -> None:
    probes = FakeProbes()
    thread = NodeMetricsThread(probes, lambda *_: None, interval_s=0.001)
    thread.start()
    assert probes.is_drained.wait(20)
    thread.stop()
    assert max(probes.asked_for_s) <= 2.0


def test_without_an_interval_nobody_is_asked() -> None:
    probes = FakeProbes(_BUSY)
    thread = NodeMetricsThread(probes, lambda *_: None, interval_s=0.0)
    thread.start()
    thread.stop()
    assert probes.asked_for_s == []
