"""One line of data.jsonl, and every line of the file with all that is wrong in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from mimo_vl.errors import InputError
from mimo_vl.schema.record import Record
from mimo_vl.vocabulary import Language

DATA_FILE = "data.jsonl"
# More would scroll the first ones away.
_MAX_PROBLEMS = 20

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class CustomLine(Record):
    """`image`, `images`: paths relative to the folder; one of the two.

    reference: what the verifier compares an answer with; makes the line an RL prompt, or an evaluation item where it is
    held out.
    """

    question: Text
    answer: Text
    image: Text | None = None
    images: tuple[Text, ...] = ()
    language: Language = Language.EN
    reference: Text | None = None

    @model_validator(mode="after")
    def _names_pictures_once(self) -> CustomLine:
        if self.image is not None and self.images:
            raise ValueError("image and images are both given; put all pictures into images")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        return self.images if self.image is None else (self.image,)


class Problems:
    """Collects what is wrong, so that a user sees all of it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[str] = []

    def add(self, number: int, problem: str) -> None:
        self._found.append(f"{self._path} line {number}: {problem}")

    def raise_if_any(self) -> None:
        """Raises InputError."""
        if not self._found:
            return
        more = len(self._found) - _MAX_PROBLEMS
        raise InputError("\n".join([*self._found[:_MAX_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]))


def read_lines(folder: Path) -> list[tuple[int, CustomLine]]:
    """Every line with its number from 1; empty lines are skipped.

    Raises:
        InputError: no file, no line, or lines that are wrong.
    """
    path = folder / DATA_FILE
    if not path.is_file():
        raise InputError(f"no {DATA_FILE} in {folder}; write one JSON object per line with question and answer")
    problems, lines = Problems(path), []
    for number, text in _numbered(path):
        try:
            lines.append((number, CustomLine.from_json(text)))
        except ValidationError as error:
            for details in error.errors(include_url=False):
                problems.add(number, _describe(details))
    problems.raise_if_any()
    if not lines:
        raise InputError(f"{path} has no line; write one JSON object per line with question and answer")
    return lines


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                yield number, text


def _describe(error: ErrorDetails) -> str:
    """`image: got 5, wanted: Input should be a valid string`."""
    field = ".".join(str(part) for part in error["loc"])
    given, message = str(error.get("input"))[:80], error["msg"].removeprefix("Value error, ")
    match error["type"]:
        case "missing":
            return f"{field}: missing; every line has question and answer"
        case "extra_forbidden":
            return f"{field}: unknown field, got {given!r}; wanted one of {', '.join(CustomLine.model_fields)}"
        case "string_too_short" | "string_pattern_mismatch":
            return f"{field}: got {given!r}, wanted text that is not blank"
        case "json_invalid":
            return f"not JSON: {message}; write one object on one line"
        case "value_error":
            return message
    return f"{field or 'line'}: got {given!r}, wanted: {message}"
