"""docs/rest.md says what the reward service takes, gives and refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jobs.generate import FILES, ROOT
from jobs.rest_reference import undescribed_fields
from mimo_vl.rewards.service import wire
from mimo_vl.schema.reward import STATUS_MEANING, ScoreBatchRequest, ScoreBatchResponse, ScoreStatus
from mimo_vl.vocabulary import RewardTask
from operators.mimo_pipeline.generate import stale_files

PAGE = (ROOT / "docs/rest.md").read_text(encoding="utf-8")
_SERVICE = sorted((Path(wire.__file__).parent).glob("*.py"))


def test_the_page_is_what_the_records_say_now() -> None:
    assert list(stale_files(ROOT, {"docs/rest.md": FILES["docs/rest.md"]})) == [], "run `make generate` and commit"


def test_every_field_is_described() -> None:
    assert undescribed_fields() == []


def test_every_status_and_task_has_a_row() -> None:
    assert set(STATUS_MEANING) == set(ScoreStatus)
    assert [name for name in (*ScoreStatus, *RewardTask) if f"\n| `{name}` | " not in PAGE] == []


def test_every_code_that_the_service_answers_with_is_explained() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in _SERVICE)
    answered = re.findall(r"(?:RejectedError|_rejection)\(\s*(\d{3})", text)
    # In parse_batch one of two.
    answered += re.findall(r"(\d{3}) if is_json else (\d{3})", text)[0]
    assert {int(code) for code in answered} == set(wire.REFUSALS)
    assert [code for code in (200, *wire.REFUSALS) if f"\n| {code} | " not in PAGE] == []


def test_every_route_of_the_service_is_an_endpoint_of_the_page() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in _SERVICE)
    routes = set(re.findall(r'\("(GET|POST)", "(/[\w/]+)"\)', text))
    assert len(routes) == 3
    assert [route for route in routes if f"| `{route[0]} {route[1]}` |" not in PAGE] == []


def test_the_example_is_a_batch_that_the_service_takes_and_its_answer_one_that_it_gives() -> None:
    (body,) = re.findall(r"--data '(.*?)'\n", PAGE, re.S)
    assert [r.id for r in wire.parse_batch(body.encode()).requests] == ["count-1"]
    (answer,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    assert ScoreBatchResponse.from_json(answer).results[0].reward == 1.0


@pytest.mark.parametrize("record", [ScoreBatchRequest, ScoreBatchResponse])
def test_every_record_has_a_table_with_every_field(record) -> None:
    for name, definition in {record.__name__: {}, **record.model_json_schema()["$defs"]}.items():
        fields = definition.get("properties", record.model_fields if not definition else ())
        section = PAGE[PAGE.index(f"\n### {name}\n") :].split("\n### ")[1]
        assert [field for field in fields if f"\n| `{field}` | " not in section] == []


def test_the_example_survives_the_quotes_of_a_shell() -> None:
    (body,) = re.findall(r"--data '(.*?)'\n", PAGE, re.S)
    assert "'" not in body
    assert json.loads(body)["requests"][0]["response"].endswith(r"\boxed{3} cups.")
