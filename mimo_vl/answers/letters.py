"""Which option a multiple-choice answer names. Never a guess: no match is a format error."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mimo_vl.answers.characters import to_half_width
from mimo_vl.answers.extraction import Extraction, answer_part, carry_error, extract_boxed, format_error, found

_LETTER = re.compile(r"\(?\s*([A-Za-z])\s*(?:\)|[.:)](?:\s*(?P<rest>.+))?|\s+(?P<bare>.+))?", re.DOTALL)
# Lenient only: "The answer is B", "Answer: B", "答案是B"; a letter inside a word never counts.
_STATED = re.compile(
    r"(?:answer|option|choice|答案|选项|选)\s*(?:is|是|为|:)*\s*\(?([A-Za-z])\)?(?![A-Za-z])", re.IGNORECASE
)


def match_option(content: str, options: Mapping[str, str]) -> str | None:
    """Letter of the option that `content` names: a letter alone, a letter with the option's text, or that text.

    `options` maps upper-case letters to texts ("" where unknown); only these letters exist.
    """
    text = to_half_width(content).strip()
    match = _LETTER.fullmatch(text)
    if match:
        letter = _existing(match[1], options)
        rest = match["rest"] or match["bare"]
        if letter and (rest is None or _same(rest, options[letter])):
            return letter
    equal = [letter for letter, option in options.items() if option and _same(text, option)]
    return equal[0] if len(equal) == 1 else None


def extract_letter(response: str, options: Mapping[str, str], *, is_lenient: bool = False) -> Extraction[str]:
    """Strict: from the last box. Lenient: also an answer part that is an option or states one exactly."""
    boxed = extract_boxed(response, is_lenient=is_lenient)
    if boxed.value is None:
        return carry_error(boxed)
    letter = match_option(boxed.value, options)
    if letter is None and is_lenient and "no_box" in boxed.flags:
        stated = _STATED.findall(to_half_width(answer_part(response).value or ""))
        letter = _existing(stated[-1], options) if stated else None
    return format_error(f"{boxed.value[:40]!r} names no option") if letter is None else found(letter, *boxed.flags)


def _existing(letter: str, options: Mapping[str, str]) -> str | None:
    if letter.upper() in options:
        return letter.upper()
    # A lower-case l is drawn like a capital I.
    return "I" if letter == "l" and "I" in options else None


def _same(a: str, b: str) -> bool:
    return _key(a) == _key(b)


def _key(text: str) -> str:
    return " ".join(to_half_width(text).casefold().split()).rstrip(".")
