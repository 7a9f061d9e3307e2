"""What is asked, what is remembered, and what a failure costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.data.record import Record
from mimo_vl.evaluation.infer import InferPlan, ModelUnderTest, infer
from mimo_vl.evaluation.response_log import ResponseLog
from mimo_vl.evaluation.score import aggregate, score_responses
from mimo_vl.evaluation.scorers import build_scorers
from mimo_vl.evaluation.task import GREEDY, Decoding, EvalItem, Method, TaskSpec
from mimo_vl.schema.evaluation import ItemStatus
from tests.fakes.answering import FakeEngine, fake_model
from tests.fakes.items import eval_sample
from tests.fakes.math_judge import CheapJudge

TASK = TaskSpec(id="t/counting", family="counting", dataset="eval-counting", scorer="count_exact", metric="counts")
SCORERS = build_scorers(CheapJudge())
RECORDS = [Record(sample=eval_sample(f"item-{i}", reference=str(i))) for i in range(5)]


def _right(item_id: str, _: int) -> str:
    return rf"\boxed{{{item_id.removeprefix('item-')}}}"


def _plan(task: TaskSpec = TASK, decoding: Decoding = GREEDY, batch_size: int = 2) -> InferPlan:
    return InferPlan(task=task, decoding=decoding, max_new_tokens=8, batch_size=batch_size, seed=1)


def _engine(model: ModelUnderTest) -> FakeEngine:
    assert isinstance(model.generator, FakeEngine)
    return model.generator


def _items() -> list[EvalItem]:
    return [EvalItem(sample=r.sample) for r in RECORDS]


def test_second_run_asks_nothing_and_gives_the_same_responses(tmp_path: Path) -> None:
    first = infer(fake_model(_right), _plan(), RECORDS, ResponseLog(tmp_path / "log.jsonl"))
    again = fake_model(lambda *_: "never asked")
    assert infer(again, _plan(), RECORDS, ResponseLog(tmp_path / "log.jsonl")) == first
    assert _engine(again).batches == []


def test_run_that_died_goes_on_at_its_batch_with_the_same_composition(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    whole = infer(fake_model(_right), _plan(), RECORDS, ResponseLog(path))
    lines = path.read_bytes().splitlines(keepends=True)
    # Killed while writing the fourth line.
    path.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    model = fake_model(_right)
    assert infer(model, _plan(), RECORDS, ResponseLog(path)) == whole
    assert _engine(model).batches == [["item-2", "item-3"], ["item-4"]]
    assert len(path.read_bytes().splitlines()) == 5


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_batch_size_changes_no_score(tmp_path: Path, batch_size: int) -> None:
    responses = infer(fake_model(_right), _plan(batch_size=batch_size), RECORDS, ResponseLog(tmp_path / "log.jsonl"))
    assert [r.item_id for r in responses] == [f"item-{i}" for i in range(5)]
    assert aggregate(TASK, score_responses(TASK, _items(), responses, SCORERS), 0.95).value == 1.0


def test_another_model_task_version_or_temperature_is_asked_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    infer(fake_model(_right), _plan(), RECORDS, ResponseLog(path))
    newer = TaskSpec(id=TASK.id, family="counting", dataset="", scorer="count_exact", metric="", version=2)
    variants = [
        (fake_model(_right, digest="sha256:b"), _plan()),
        (fake_model(_right), _plan(task=newer)),
        (fake_model(_right), _plan(decoding=Decoding(temperature=1.0))),
    ]
    for model, plan in variants:
        infer(model, plan, RECORDS, ResponseLog(path))
        assert len(_engine(model).batches) == 3


def test_changed_prompt_is_asked_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    infer(fake_model(_right), _plan(), RECORDS, ResponseLog(path))
    changed = [Record(sample=r.sample.model_copy(update={"messages": r.sample.messages * 2})) for r in RECORDS]
    model = fake_model(_right)
    infer(model, _plan(), changed, ResponseLog(path))
    assert len(_engine(model).batches) == 3


def test_one_item_that_fails_is_kept_apart_and_the_others_are_scored(tmp_path: Path) -> None:
    model = fake_model(_right, broken=frozenset({"item-3"}))
    responses = infer(model, _plan(), RECORDS, ResponseLog(tmp_path / "log.jsonl"))
    results = score_responses(TASK, _items(), responses, SCORERS)
    assert [r.status for r in results].count(ItemStatus.GENERATION_ERROR) == 1
    score = aggregate(TASK, results, 0.95)
    # Four of four scored items are right; counting the failure as 0 gives the lower bound 4/5.
    assert (score.value, score.n, score.is_complete, score.lower_bound) == (1.0, 4, False, 0.8)
    assert score.statuses == {"generation_error": 1, "ok": 4}


def test_failure_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    infer(fake_model(_right, broken=frozenset({"item-3"})), _plan(), RECORDS, ResponseLog(path))
    responses = infer(fake_model(_right), _plan(), RECORDS, ResponseLog(path))
    assert [r.error for r in responses] == [""] * 5


def test_empty_answer_scores_zero_but_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    responses = infer(fake_model(lambda *_: ""), _plan(), RECORDS, ResponseLog(path))
    results = score_responses(TASK, _items(), responses, SCORERS)
    assert {r.status for r in results} == {ItemStatus.NO_OUTPUT}
    assert aggregate(TASK, results, 0.95).value == 0.0
    assert len(ResponseLog(path)) == 0


def test_family_without_any_scored_item_is_an_error_not_a_zero(tmp_path: Path) -> None:
    model = fake_model(_right, broken=frozenset(r.sample.id for r in RECORDS))
    responses = infer(model, _plan(), RECORDS, ResponseLog(tmp_path / "log.jsonl"))
    with pytest.raises(ValueError, match="none of 5 items was scored"):
        aggregate(TASK, score_responses(TASK, _items(), responses, SCORERS), 0.95)


def test_samples_of_an_item_are_averaged_before_any_statistics(tmp_path: Path) -> None:
    model = fake_model(lambda item_id, index: _right(item_id, 0) if index == 0 else r"\boxed{99}")
    plan = _plan(decoding=Decoding(temperature=1.0, num_samples=4))
    responses = infer(model, plan, RECORDS, ResponseLog(tmp_path / "log.jsonl"))
    score = aggregate(TASK, score_responses(TASK, _items(), responses, SCORERS), 0.95)
    assert (score.value, score.n) == (0.25, 5)
    assert _engine(model).params[0].num_samples == 4


def test_likelihood_task_reports_nats_and_the_likelihood_of_a_token(tmp_path: Path) -> None:
    task = TaskSpec(id="t/text", family="text", dataset="", scorer="likelihood", metric="", method=Method.LIKELIHOOD)
    responses = infer(fake_model(_right, nats=2.0), _plan(task=task), RECORDS, ResponseLog(tmp_path / "log.jsonl"))
    score = aggregate(task, score_responses(task, _items(), responses, SCORERS), 0.95)
    assert score.metrics == {"nats_per_token": 2.0}
    assert score.value == pytest.approx(0.1353, abs=1e-4)


def test_scorer_named_by_the_item_wins_over_the_tasks(tmp_path: Path) -> None:
    records = [Record(sample=eval_sample("item-0", reference="4711", scorer="per_digit"))]
    responses = infer(fake_model(lambda *_: "4712"), _plan(), records, ResponseLog(tmp_path / "log.jsonl"))
    results = score_responses(TASK, [EvalItem(sample=records[0].sample)], responses, SCORERS)
    assert (results[0].scorer, results[0].metrics["score"]) == ("per_digit", 0.75)
