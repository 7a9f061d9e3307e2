"""Does the example of docs/how-to/add_evaluation_task.md score as the page says?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.evaluation.task import EvalItem, ItemScore
from mimo_vl.schema.evaluation import ItemStatus
from tests.fakes.items import eval_sample

_PAGE = Path(__file__).parents[3] / "docs/how-to/add_evaluation_task.md"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What its Python defines."""
    found: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", _PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, str(_PAGE), "exec"), found)
    return found


def _score(page: dict[str, Any], response: str) -> ItemScore:
    score: ItemScore = page["score_length"](EvalItem(sample=eval_sample(reference="3")), response)
    return score


@pytest.mark.parametrize(
    ("response", "score", "within"), [("a red circle", 1.0, 1.0), ("a red circle on some blue", 0.5, 0.0)]
)
def test_the_limit_is_the_reference(page: dict[str, Any], response: str, score: float, within: float) -> None:
    # Three words of three; three of six.
    assert _score(page, response).metrics == {"score": score, "within": within}


def test_thinking_without_an_answer_is_none(page: dict[str, Any]) -> None:
    found = _score(page, "<think>a red circle")
    assert found.status is not ItemStatus.OK
    assert found.metrics == {"score": 0.0, "within": 0.0}


def test_the_task_names_the_scorer_by_which_it_is_registered(page: dict[str, Any]) -> None:
    assert f'`"{page["SHORT_CAPTION"].scorer}": score_length`' in _PAGE.read_text(encoding="utf-8")
