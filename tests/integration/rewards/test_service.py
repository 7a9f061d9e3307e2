"""The reward service as a real Ray Serve application on loopback: one start for all tests of this file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import urllib3

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.errors import InputError, ServiceUnavailableError
from mimo_vl.rewards.mapping import sigmoid
from mimo_vl.rewards.service.client import RewardClient
from mimo_vl.schema.reward import ScoreRequest, ScoreStatus
from mimo_vl.vocabulary import RewardTask
from tests.fakes.local_ray import local_ray
from tests.fakes.own_verifiers import rewards_with
from tests.fakes.rewards import score_request

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]

TOKEN = "a-test-token"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Rules, a real multimodal reward model, and a text one whose folder holds no weights: it must be `unavailable`."""
    from tests.fakes.reward_models import write_reward_model

    empty: Path = tmp_path_factory.mktemp("empty")
    weights = write_reward_model(tmp_path_factory.mktemp("reward_model"), kind="multimodal")
    with local_ray(num_cpus=4):
        from mimo_vl.rewards.service.app import deploy, shutdown

        config = replace(rewards_with("SHARE", "3"), math_deadline_s=5.0, request_deadline_s=30.0)
        processing = ProcessingConfig(min_pixels=3136, max_pixels=12544)
        models = {RewardTask.PREFERENCE_TEXT: lambda: empty, RewardTask.PREFERENCE_MULTIMODAL: lambda: weights}
        yield deploy(config, processing, reward_models=models, token=TOKEN)
        shutdown()


def _post(url: str, body: bytes, token: str | None = TOKEN) -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    response = urllib3.request("POST", f"{url}/v1/score", body=body, headers=headers, timeout=60.0, retries=False)
    return response.status, response.data.decode()


def _counting(count: int, request_id: str) -> ScoreRequest:
    return score_request(RewardTask.COUNTING, rf"\boxed{{{count}}}", "3", request_id=request_id)


def test_results_come_in_the_order_of_the_requests_across_batches_and_tasks(url: str) -> None:
    requests = []
    for i in range(40):
        requests.append(_counting(i, f"count-{i}"))
        requests.append(score_request(RewardTask.TEXT_REASONING, r"\boxed{2x}", "x+x", request_id=f"math-{i}"))
    results = RewardClient(url, TOKEN, batch_size=16).score(requests)
    assert [r.id for r in results] == [r.id for r in requests]
    assert [r.reward for r in results[::2]] == [float(i == 3) for i in range(40)]
    assert {r.reward for r in results[1::2]} == {1.0}


def test_a_reward_model_that_cannot_load_is_unavailable_and_the_others_go_on(url: str) -> None:
    broken = score_request(RewardTask.PREFERENCE_TEXT, "hello", request_id="p")
    requests = [broken, _counting(3, "c")]
    requests += [score_request(RewardTask.PREFERENCE_MULTIMODAL, text, request_id=text) for text in ("1", "2 3")]
    results = RewardClient(url, TOKEN).score(requests)
    assert (results[0].reward, results[0].status) == (None, ScoreStatus.UNAVAILABLE)
    assert "cannot be loaded" in results[0].reason
    assert results[1].reward == 1.0
    for result in results[2:]:
        assert result.status is ScoreStatus.SCORED
        assert result.reward == pytest.approx(sigmoid(result.breakdown["score"]))
    assert results[2].reward != results[3].reward
    assert RewardClient(url, TOKEN).score(requests)[2].reward == results[2].reward


def test_the_own_verifier_judges_in_the_rule_worker_and_what_it_raises_ends_nothing(url: str) -> None:
    answers = {"half": "1299", "raises": "boom", "right": "1234"}
    requests = [score_request(RewardTask.CUSTOM, text, "1234", request_id=name) for name, text in answers.items()]
    results = RewardClient(url, TOKEN).score(requests)
    assert [r.reward for r in results] == [0.5, None, 1.0]
    assert results[1].status is ScoreStatus.VERIFIER_ERROR
    assert {(r.reward_name, r.version) for r in results} == {("share", "3")}
    metrics = urllib3.request("GET", f"{url}/metrics", timeout=60.0).data.decode()
    assert any("verifier_error" in line and line.endswith(" 1.0") for line in metrics.splitlines())


def test_repeated_requests_get_the_same_result_and_conflicting_ids_are_refused(url: str) -> None:
    twice = [_counting(3, "same"), _counting(3, "same")]
    assert [r.reward for r in RewardClient(url, TOKEN).score(twice)] == [1.0, 1.0]
    body = json.dumps({"requests": [_counting(n, "same").model_dump(mode="json") for n in (3, 4)]}).encode()
    status, text = _post(url, body)
    assert status == 422
    assert "two different requests" in text


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_missing_or_wrong_token_is_refused(url: str, token: str | None) -> None:
    status, text = _post(url, b'{"requests": []}', token)
    assert status == 401
    assert "bearer token" in text


def test_the_client_reports_a_refused_token_as_a_permanent_error(url: str) -> None:
    with pytest.raises(InputError, match="HTTP 401"):
        RewardClient(url, "wrong").score([_counting(3, "a")])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{not json", 400, "JSON"),
        (b"[]", 422, "body"),
        (b'{"requests": [{"id": "a"}]}', 422, "requests.0.task"),
        (b'{"requests": [], "extra": 1}', 422, "extra"),
    ],
)
def test_a_malformed_body_is_refused_with_the_field_named(url: str, body: bytes, status: int, words: str) -> None:
    got, text = _post(url, body)
    assert got == status
    assert words in text


def test_an_unknown_task_is_refused_and_the_known_ones_are_named(url: str) -> None:
    request = _counting(3, "a").model_dump(mode="json") | {"task": "poetry"}
    status, text = _post(url, json.dumps({"requests": [request]}).encode())
    assert status == 422
    assert "requests.0.task" in text
    assert "poetry" in text
    assert "counting" in text


def test_another_reward_version_is_refused(url: str) -> None:
    right = RewardClient(url, TOKEN, expected_versions={RewardTask.COUNTING: "count_exact/1"})
    assert right.score([_counting(3, "a")])[0].reward == 1.0
    with pytest.raises(InputError, match=r"409.*count_exact/1.*count_exact/0"):
        RewardClient(url, TOKEN, expected_versions={RewardTask.COUNTING: "count_exact/0"}).score([_counting(3, "a")])


def test_health_names_the_broken_model_and_metrics_count_results(url: str) -> None:
    RewardClient(url, TOKEN).score([_counting(3, "a")])
    health = json.loads(urllib3.request("GET", f"{url}/healthz", timeout=30.0).data)
    assert health["status"] == "ok"
    assert "cannot be loaded" in health["reward_models"]["preference_text"]["problem"]
    metrics = urllib3.request("GET", f"{url}/metrics", timeout=30.0).data.decode()
    assert 'mimo_rewards_results_total{status="scored",task="counting"}' in metrics


def test_a_service_that_is_not_there_is_a_retryable_error() -> None:
    client = RewardClient("http://127.0.0.1:9", TOKEN, deadline_s=0.5)
    with pytest.raises(ServiceUnavailableError, match="is it running"):
        client.score([_counting(3, "a")])
