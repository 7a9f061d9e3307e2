"""Types become structural schemas; what has no structural form is an error, not a silent loss."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, JsonValue

from operators.mimo_pipeline.structural import structural_schema


class _Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class _Inner(BaseModel):
    """First line.

    Second line.
    """

    size: int = Field(default=1, ge=1, le=3)


def _properties(model: type[BaseModel]) -> dict:
    return structural_schema(model)["properties"]


def test_a_reference_is_inlined_with_its_description_on_one_line() -> None:
    class Outer(BaseModel):
        inner: _Inner

    assert _properties(Outer)["inner"] == {
        "type": "object",
        "description": "First line. Second line.",
        "properties": {"size": {"type": "integer", "default": 1, "minimum": 1, "maximum": 3}},
    }


def test_optional_is_nullable_without_a_default_of_null() -> None:
    class Outer(BaseModel):
        inner: _Inner | None = None
        text: Annotated[str, Field(max_length=5)] | None = None

    found = _properties(Outer)
    assert found["text"] == {"type": "string", "maxLength": 5, "nullable": True}
    assert found["inner"]["nullable"] is True
    assert "default" not in found["inner"]


def test_an_enum_keeps_its_default_and_a_literal_is_an_enum() -> None:
    class Outer(BaseModel):
        colour: _Colour = _Colour.RED
        one: Literal["x"] = "x"
        two: Literal["x", "y"]

    found = _properties(Outer)
    assert found["colour"] == {"type": "string", "enum": ["red", "blue"], "default": "red"}
    assert found["one"] == {"type": "string", "enum": ["x"], "default": "x"}
    assert found["two"]["enum"] == ["x", "y"]


def test_a_map_has_one_schema_for_its_values_whatever_the_pattern_of_its_keys() -> None:
    class Outer(BaseModel):
        plain: dict[str, int] = Field(max_length=3)
        keyed: dict[Annotated[str, Field(pattern="^a")], Annotated[str, Field(max_length=7)]]

    found = _properties(Outer)
    assert found["plain"] == {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 3}
    assert found["keyed"] == {"type": "object", "additionalProperties": {"type": "string", "maxLength": 7}}


def test_free_json_keeps_unknown_fields() -> None:
    class Outer(BaseModel):
        config: dict[str, JsonValue]

    assert _properties(Outer)["config"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_times_are_date_time_strings() -> None:
    class Outer(BaseModel):
        at: datetime | None = None

    assert _properties(Outer)["at"] == {"type": "string", "format": "date-time", "nullable": True}


def test_a_union_of_two_types_is_refused_by_its_path() -> None:
    class Outer(BaseModel):
        value: int | str

    with pytest.raises(ValueError, match=r"Outer\.value: a union of 2 types"):
        structural_schema(Outer)


def test_an_unknown_keyword_is_refused() -> None:
    class Outer(BaseModel):
        value: int = Field(gt=0)

    with pytest.raises(ValueError, match=r"Outer\.value: keywords \['exclusiveMinimum'\]"):
        structural_schema(Outer)
