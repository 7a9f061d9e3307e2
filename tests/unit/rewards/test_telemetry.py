from __future__ import annotations

import pytest

from mimo_vl.rewards.service.telemetry import Telemetry
from mimo_vl.schema.reward import ScoreResult, ScoreStatus
from mimo_vl.vocabulary import RewardTask
from tests.fakes.rewards import score_request

_REQUESTS = [score_request(RewardTask.COUNTING, "a", "3", request_id=name) for name in ("one", "two", "three")]


def _result(name: str, status: ScoreStatus, reward: float | None, latency_ms: float = 4.0) -> ScoreResult:
    return ScoreResult(id=name, status=status, reward=reward, reward_name="r", version="1", latency_ms=latency_ms)


def _lines(telemetry: Telemetry) -> list[str]:
    return telemetry.render().decode().splitlines()


def test_nulls_and_time_outs_are_counted_by_task() -> None:
    telemetry = Telemetry()
    results = [
        _result("one", ScoreStatus.SCORED, 1.0),
        _result("two", ScoreStatus.TIMEOUT, None),
        _result("three", ScoreStatus.UNAVAILABLE, None),
    ]
    telemetry.observe(_REQUESTS, results, 0.5)
    lines = _lines(telemetry)
    assert 'mimo_rewards_nulls_total{task="counting"} 2.0' in lines
    assert 'mimo_rewards_timeouts_total{task="counting"} 1.0' in lines
    assert 'mimo_rewards_results_total{status="scored",task="counting"} 1.0' in lines
    # 4 ms each: above 3 ms, within 10 ms.
    assert 'mimo_rewards_latency_seconds_bucket{le="0.003",task="counting"} 0.0' in lines
    assert 'mimo_rewards_latency_seconds_bucket{le="0.01",task="counting"} 3.0' in lines
    assert 'mimo_rewards_value_count{task="counting"} 1.0' in lines


def test_a_task_without_trouble_shows_zero() -> None:
    telemetry = Telemetry()
    telemetry.observe(_REQUESTS[:1], [_result("one", ScoreStatus.SCORED, 0.0)], 0.1)
    assert 'mimo_rewards_timeouts_total{task="counting"} 0.0' in _lines(telemetry)


def test_the_queue_is_empty_again_also_after_an_error() -> None:
    telemetry = Telemetry()
    with pytest.raises(RuntimeError):
        _fail_in_queue(telemetry)
    assert "mimo_rewards_queue 0.0" in _lines(telemetry)


def _fail_in_queue(telemetry: Telemetry) -> None:
    with telemetry.queued(5):
        assert "mimo_rewards_queue 5.0" in _lines(telemetry)
        raise RuntimeError
