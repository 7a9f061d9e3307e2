"""Which single number a short text states: digits, thousands separators, English words, Chinese numerals, percent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from mimo_vl.answers.characters import to_half_width
from mimo_vl.answers.extraction import Extraction, carry_error, extract_boxed, format_error, found

# Longer digit strings are no answer to any question asked here.
MAX_NUMBER_CHARS = 64


@dataclass(frozen=True)
class Number:
    value: Decimal
    is_percent: bool = False

    @property
    def as_integer(self) -> int | None:
        """None unless whole and without percent: 3.0 is 3, 3.5 is no count."""
        is_whole = self.value == self.value.to_integral_value()
        return int(self.value) if is_whole and not self.is_percent else None


_ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ENGLISH_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS = {word: value for value, word in enumerate(_ENGLISH.split())}
_TENS = {word: 10 * value for value, word in enumerate(_ENGLISH_TENS.split(), start=2)}
_CHINESE_DIGITS = {c: v for v, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
_CHINESE_POWERS = {"十": 10, "百": 100, "千": 1000}
_CHINESE_MYRIADS = {"万": 10_000, "萬": 10_000, "亿": 100_000_000, "億": 100_000_000}

_DIGITS = re.compile(r"([+-]?)(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?\s*(\\?%)?", re.ASCII)


def parse_number(text: str) -> Number | None:
    """The number that `text` is, as a whole; None when it is anything else ("3 or 4", "1,23")."""
    cleaned = to_half_width(text).strip().removesuffix("个").removesuffix("個").rstrip(".").strip()
    cleaned = cleaned.replace("{,}", ",").replace(r"\,", ",")
    if not cleaned or len(cleaned) > MAX_NUMBER_CHARS:
        return None
    if re.fullmatch(r"[0-9Il]+", cleaned):
        cleaned = re.sub("[Il]", "1", cleaned)
    match = _DIGITS.fullmatch(cleaned)
    if match and (match[2] or match[3]):
        digits = (match[2] or "0").replace(",", "") + (match[3] or "")
        return Number(Decimal(match[1] + digits), is_percent=match[4] is not None)
    value = _parse_english(cleaned.lower())
    value = _parse_chinese(cleaned) if value is None else value
    return None if value is None else Number(Decimal(value))


def _parse_english(text: str) -> int | None:
    if text in ("one hundred", "a hundred"):
        return 100
    words = re.split(r"[\s-]+", text)
    if len(words) == 1:
        return _UNITS.get(words[0], _TENS.get(words[0]))
    if len(words) == 2 and words[0] in _TENS and 1 <= _UNITS.get(words[1], 0) <= 9:
        return _TENS[words[0]] + _UNITS[words[1]]
    return None


def _parse_chinese(text: str) -> int | None:
    """十二 = 12, 两百零三 = 203, 三万二千 = 32000, and digit by digit: 二〇二六 = 2026."""
    if not text or any(c not in _CHINESE_DIGITS | _CHINESE_POWERS | _CHINESE_MYRIADS for c in text):
        return None
    if all(c in _CHINESE_DIGITS for c in text):
        return int("".join(str(_CHINESE_DIGITS[c]) for c in text))
    total, section, digit = 0, 0, None
    for character in text:
        if character in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[character]
        elif character in _CHINESE_POWERS:
            section += (1 if digit is None else digit) * _CHINESE_POWERS[character]
            digit = None
        else:
            total = (total + section + (digit or 0)) * _CHINESE_MYRIADS[character]
            section, digit = 0, None
    return total + section + (digit or 0)


def extract_number(response: str, *, is_lenient: bool = False) -> Extraction[Number]:
    """The number in the last box. Lenient: without a box the whole answer part must be the number."""
    boxed = extract_boxed(response, is_lenient=is_lenient)
    if boxed.value is None:
        return carry_error(boxed)
    number = parse_number(boxed.value)
    return format_error(f"{boxed.value[:40]!r} is not one number") if number is None else found(number, *boxed.flags)


def extract_count(response: str, *, is_lenient: bool = False) -> Extraction[int]:
    """As `extract_number`, but whole: 3.0 is 3, while 3.5 and 30 % are format errors."""
    number = extract_number(response, is_lenient=is_lenient)
    if number.value is None:
        return carry_error(number)
    count = number.value.as_integer
    return format_error(f"{number.value.value} is not a whole number") if count is None else found(count, *number.flags)
