r"""What part of a completion is its answer: after the thinking, in the last box.

A completion whose `<think>` never closes is `truncated`: nothing inside it is ever searched for an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class AnswerStatus(StrEnum):
    """The last three score 0 and are counted."""

    OK = "ok"
    FORMAT_ERROR = "format_error"
    NO_OUTPUT = "no_output"
    TRUNCATED = "truncated"


@dataclass(frozen=True, kw_only=True)
class Extraction(Generic[T]):
    """`value` is None unless status is ok. `flags` name repairs (`swapped`, `truncated_json`)."""

    status: AnswerStatus
    value: T | None = None
    flags: tuple[str, ...] = ()
    reason: str = ""

    @property
    def is_ok(self) -> bool:
        return self.status is AnswerStatus.OK


def found(value: T, *flags: str) -> Extraction[T]:
    return Extraction(status=AnswerStatus.OK, value=value, flags=flags)


def format_error(reason: str) -> Extraction[T]:
    return Extraction(status=AnswerStatus.FORMAT_ERROR, reason=reason)


def answer_part(response: str) -> Extraction[str]:
    """Text after the last `</think>`; the whole text when there are no think tags."""
    tail = response.rsplit("</think>", 1)[-1]
    if "<think>" in tail:
        return Extraction(status=AnswerStatus.TRUNCATED, reason="<think> is never closed")
    if not tail.strip():
        return Extraction(status=AnswerStatus.NO_OUTPUT, reason="nothing after the thinking part")
    return found(tail.strip())


_BOX_START = re.compile(r"\\boxed\s*\{")


def boxes_in(text: str) -> list[str | None]:
    r"""Contents of the outermost `\boxed{...}` in order; None for one whose braces never balance."""
    contents: list[str | None] = []
    position = 0
    while match := _BOX_START.search(text, position):
        end = _closing_brace(text, match.end())
        contents.append(None if end is None else text[match.end() : end])
        position = match.end() if end is None else end + 1
        if end is None and text.find("}", position) < 0:
            # No brace closes any more: the rest of the starts are unbalanced too.
            contents.extend(None for _ in _BOX_START.finditer(text, position))
            break
    return contents


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2  # \{ and \} are not braces, and \\ is a line break before one
            continue
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return position
        position += 1
    return None


_WRAPPERS = (
    re.compile(r"\$\$?(.*?)\$?\$", re.DOTALL),
    *(re.compile(r"\\" + name + r"\s*\{([^{}]*)\}", re.DOTALL) for name in ("text", "mathrm", "mathbf")),
    re.compile(r"\\boxed\s*\{(.*)\}", re.DOTALL),
)


def unwrap(content: str) -> str:
    r"""Strip spaces, a final period, and one layer each of `$...$`, `\text{}`, `\mathrm{}`, `\mathbf{}`."""
    text = content.strip().rstrip(".。").strip()
    for wrapper in _WRAPPERS:
        if match := wrapper.fullmatch(text):
            text = match.group(1).strip().rstrip(".。").strip()
    return text


def extract_boxed(response: str, *, is_lenient: bool = False) -> Extraction[str]:
    """Content of the last box of the answer part, unwrapped. Lenient: without a box the whole answer."""
    part = answer_part(response)
    if part.value is None:
        return part
    boxes = boxes_in(part.value)
    if not boxes:
        return (
            found(unwrap(part.value), "no_box") if is_lenient else format_error(r"no \boxed{} after the thinking part")
        )
    if boxes[-1] is None:
        return format_error(r"the braces of the last \boxed{ never balance")
    content = unwrap(boxes[-1])
    return found(content) if content else format_error(r"\boxed{} is empty")


_ANSWER_PATTERN = re.compile(
    r"(?:(?:final\s+)?answer\s*(?:is\s*:?|:|：|=)|答案\s*(?:是|为|：|:)+)\s*([^\n]+)",
    re.IGNORECASE,
)


def extract_final(response: str) -> Extraction[str]:
    """The last box, else the rest of the line after the last "answer is", "Answer:" or "答案是"."""
    boxed = extract_boxed(response)
    part = answer_part(response)
    if boxed.is_ok or part.value is None or boxes_in(part.value):
        return boxed
    matches = _ANSWER_PATTERN.findall(part.value)
    content = unwrap(matches[-1]) if matches else ""
    return found(content, "no_box") if content else boxed


def carry_error(source: Extraction[U]) -> Extraction[T]:
    """The same failure for another value type."""
    return Extraction(status=source.status, flags=source.flags, reason=source.reason)
