from __future__ import annotations

import pytest

from mimo_vl.answers.mathematics import MathVerdict
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.router import RuleRouter
from mimo_vl.rewards.verifiers import counting
from mimo_vl.rewards.verifiers.registry import build_registry, register
from mimo_vl.schema.reward import ScoreResult, ScoreStatus
from mimo_vl.vocabulary import RewardTask
from tests.fakes.rewards import CheapMathJudge, score_request


def _score(task: RewardTask, response: str, reference: str | None, config: RewardsConfig | None = None) -> ScoreResult:
    router = RuleRouter(config or RewardsConfig(), CheapMathJudge())
    return router.score(score_request(task, response, reference))


def _box(numbers: str, key: str = "bbox_2d") -> str:
    return f'```json\n[{{"{key}": [{numbers}], "label": "7"}}]\n```'


@pytest.mark.parametrize(
    ("response", "reference", "reward", "status"),
    [
        (r"<think>3+5=8</think>\boxed{8}", "8", 1.0, ScoreStatus.SCORED),
        (r"\boxed{9}", "8", 0.0, ScoreStatus.SCORED),
        (r"<think>\boxed{8}</think>I do not know", "8", 0.0, ScoreStatus.UNPARSABLE),
        (r"<think>\boxed{8}", "8", 0.0, ScoreStatus.UNPARSABLE),
        (r"\boxed{8", "8", 0.0, ScoreStatus.UNPARSABLE),
        ("", "8", 0.0, ScoreStatus.UNPARSABLE),
        (r"\boxed{12}. Wait, \boxed{13}", "13", 1.0, ScoreStatus.SCORED),
        (r"\boxed{13}. Wait, \boxed{12}", "13", 0.0, ScoreStatus.SCORED),
        ("答案是8", "8", 1.0, ScoreStatus.SCORED),
        ("The answer is 3 or 4", "3", 0.0, ScoreStatus.SCORED),
        (r"\boxed{9^{9^{9}}}", "8", 0.0, ScoreStatus.UNPARSABLE),
        (r"\boxed{8}", None, None, ScoreStatus.INVALID_REFERENCE),
        (r"\boxed{8}", " ", None, ScoreStatus.INVALID_REFERENCE),
    ],
)
@pytest.mark.parametrize("task", [RewardTask.VISUAL_REASONING, RewardTask.TEXT_REASONING])
def test_reasoning_is_one_only_for_a_right_final_answer(
    task: RewardTask, response: str, reference: str | None, reward: float | None, status: ScoreStatus
) -> None:
    result = _score(task, response, reference)
    assert (result.reward, result.status) == (reward, status)
    assert (result.reward_name, result.version) == ("math_verify", "1")


def test_a_math_timeout_is_no_verdict_and_never_zero() -> None:
    router = RuleRouter(RewardsConfig(), CheapMathJudge(MathVerdict.TIMEOUT))
    result = router.score(score_request(RewardTask.TEXT_REASONING, r"\boxed{2 x}", r"x+x"))
    assert (result.reward, result.status) == (None, ScoreStatus.TIMEOUT)


@pytest.mark.parametrize(
    ("response", "reward", "status"),
    [
        (r"\boxed{3}", 1.0, ScoreStatus.SCORED),
        (r"\boxed{3.0}", 1.0, ScoreStatus.SCORED),
        (r"\boxed{３}", 1.0, ScoreStatus.SCORED),
        (r"\boxed{三}", 1.0, ScoreStatus.SCORED),
        (r"\boxed{three}", 1.0, ScoreStatus.SCORED),
        (r"\boxed{4}", 0.0, ScoreStatus.SCORED),
        (r"\boxed{3.5}", 0.0, ScoreStatus.UNPARSABLE),
        (r"\boxed{3 or 4}", 0.0, ScoreStatus.UNPARSABLE),
        ("3", 0.0, ScoreStatus.UNPARSABLE),
        (r"<think>\boxed{3}", 0.0, ScoreStatus.UNPARSABLE),
    ],
)
def test_counting_wants_exactly_the_number_in_the_box(response: str, reward: float, status: ScoreStatus) -> None:
    result = _score(RewardTask.COUNTING, response, "3")
    assert (result.reward, result.status) == (reward, status)


def test_a_reference_that_is_no_whole_number_is_reported_not_scored() -> None:
    result = _score(RewardTask.COUNTING, r"\boxed{3}", "a few")
    assert (result.reward, result.status) == (None, ScoreStatus.INVALID_REFERENCE)
    assert "a few" in result.reason
    assert "whole number" in result.reason


# Boxes [0,0,10,10] and [5,0,15,10]: intersection 50, union 150, enclosing 150 -> IoU = GIoU = 1/3, mapped 2/3.
# Boxes [0,0,10,10] and [20,0,30,10]: IoU 0, union 200, enclosing 300 -> GIoU = -1/3, mapped 1/3 or clipped 0.
@pytest.mark.parametrize(
    ("numbers", "mapping", "reward"),
    [
        ("0, 0, 10, 10", "half_one_plus_giou", 1.0),
        ("5, 0, 15, 10", "half_one_plus_giou", 2 / 3),
        ("20, 0, 30, 10", "half_one_plus_giou", 1 / 3),
        ("5, 0, 15, 10", "clipped_giou", 1 / 3),
        ("20, 0, 30, 10", "clipped_giou", 0.0),
        ("10, 10, 0, 0", "half_one_plus_giou", 1.0),
    ],
)
def test_box_reward_is_giou_mapped_as_configured(numbers: str, mapping: str, reward: float) -> None:
    config = RewardsConfig(box_mapping=mapping)
    result = _score(RewardTask.GROUNDING_BOX, _box(numbers), "[0, 0, 10, 10]", config)
    assert result.reward == pytest.approx(reward)
    assert result.reward_name == mapping


@pytest.mark.parametrize(
    "response",
    [
        "no box at all",
        _box("0, 0, 10"),
        _box("0, 0, 1e999, 10"),
        _box("0, 0, NaN, 10"),
        '<think>[{"bbox_2d": [0, 0, 10, 10]}]</think>there it is',
        '<think>[{"bbox_2d": [0, 0, 10, 10]}]',
        _box("5, 5", key="point_2d"),
        '{"box": [0, 0, 10, 10]}',
    ],
)
def test_an_unreadable_box_gets_zero_not_the_mapping_of_a_zero_box(response: str) -> None:
    result = _score(RewardTask.GROUNDING_BOX, response, "[0, 0, 10, 10]")
    assert (result.reward, result.status) == (0.0, ScoreStatus.UNPARSABLE)


def test_extra_boxes_cost() -> None:
    response = '[{"bbox_2d": [0, 0, 10, 10]}, {"bbox_2d": [50, 50, 60, 60]}]'
    # One perfect match out of max(2, 1) boxes.
    assert _score(RewardTask.GROUNDING_BOX, response, "[0, 0, 10, 10]").reward == pytest.approx(0.5)


def test_several_true_boxes_are_matched_one_to_one_in_any_order() -> None:
    response = '[{"bbox_2d": [50, 50, 60, 60]}, {"bbox_2d": [0, 0, 10, 10]}]'
    assert _score(RewardTask.GROUNDING_BOX, response, "[[0,0,10,10],[50,50,60,60]]").reward == pytest.approx(1.0)


def test_saying_that_nothing_is_there_is_readable_and_worth_zero() -> None:
    result = _score(RewardTask.GROUNDING_BOX, "```json\n[]\n```", "[0, 0, 10, 10]")
    assert (result.reward, result.status) == (0.0, ScoreStatus.SCORED)


@pytest.mark.parametrize("reference", [None, "", "[1, 2, 3]", "[10, 0, 0, 10]", "[0, 0, NaN, 1]", '{"a": 1}'])
def test_a_broken_reference_box_cannot_be_judged(reference: str | None) -> None:
    result = _score(RewardTask.GROUNDING_BOX, _box("0, 0, 10, 10"), reference)
    assert (result.reward, result.status) == (None, ScoreStatus.INVALID_REFERENCE)


@pytest.mark.parametrize(
    ("point", "reward"), [("5, 5", 1.0), ("10, 10", 1.0), ("0, 0", 1.0), ("10.01, 5", 0.0), ("-1, 5", 0.0)]
)
def test_a_point_on_the_edge_is_inside(point: str, reward: float) -> None:
    result = _score(RewardTask.GROUNDING_POINT, _box(point, key="point_2d"), "[0, 0, 10, 10]")
    assert result.reward == reward


def test_spraying_points_does_not_pay() -> None:
    response = '[{"point_2d": [5, 5]}, {"point_2d": [50, 50]}, {"point_2d": [6, 6]}, {"point_2d": [7, 7]}]'
    assert _score(RewardTask.GROUNDING_POINT, response, "[0, 0, 10, 10]").reward == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("response", "reward", "status"),
    [
        (r"\boxed{[00:02, 00:05]}", 1.0, ScoreStatus.SCORED),
        # [2, 5] and [4, 8]: 1 s of 6 s.
        (r"\boxed{[00:04, 00:08]}", 1 / 6, ScoreStatus.SCORED),
        (r"\boxed{[00:05, 00:02]}", 1.0, ScoreStatus.SCORED),
        (r"\boxed{[00:06, 00:08]}", 0.0, ScoreStatus.SCORED),
        (r"\boxed{no timestamp}", 0.0, ScoreStatus.UNPARSABLE),
        (r"<think>[00:02, 00:05]</think>\boxed{}", 0.0, ScoreStatus.UNPARSABLE),
    ],
)
def test_temporal_reward_is_temporal_iou(response: str, reward: float, status: ScoreStatus) -> None:
    result = _score(RewardTask.TEMPORAL_GROUNDING, response, "[2.0, 5.0]")
    assert result.reward == pytest.approx(reward)
    assert result.status is status


def test_a_zero_length_truth_and_answer_do_not_divide_by_zero() -> None:
    assert _score(RewardTask.TEMPORAL_GROUNDING, r"\boxed{[00:02, 00:02]}", "[2, 2]").reward == 0.0


def test_a_reversed_reference_span_cannot_be_judged() -> None:
    result = _score(RewardTask.TEMPORAL_GROUNDING, r"\boxed{[00:02, 00:05]}", "[5, 2]")
    assert (result.reward, result.status) == (None, ScoreStatus.INVALID_REFERENCE)


def test_registering_a_task_twice_raises() -> None:
    registry = build_registry(RewardsConfig())
    with pytest.raises(ValueError, match="counting already has a verifier"):
        register(registry, RewardTask.COUNTING, counting.VERIFIER)


def test_every_rule_task_has_a_verifier_and_no_preference_task_has() -> None:
    preference = {RewardTask.PREFERENCE_TEXT, RewardTask.PREFERENCE_MULTIMODAL}
    assert set(build_registry(RewardsConfig())) == set(RewardTask) - preference - {RewardTask.CUSTOM}
