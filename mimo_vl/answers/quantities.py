r"""Which exact number, with which unit, a short expression is: 1/3, 0.1, 10\%, 1{,}234, 5 cm, 1.5\times10^{3}.

Exact rationals, so that 0.0000001 and 0.0000002 differ. A percent sign is part of the value: 10\% is 0.1 and never 10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from mimo_vl.answers.latex import squeezed
from mimo_vl.answers.numbers import MAX_NUMBER_CHARS, parse_number

# Unit -> (dimension, factor to the dimension's base unit).
_UNITS: dict[str, tuple[str, Fraction]] = {
    name: (dimension, Fraction(factor))
    for dimension, members in {
        "length": {"mm": "1/1000", "cm": "1/100", "dm": "1/10", "m": "1", "km": "1000", "毫米": "1/1000",
                   "厘米": "1/100", "分米": "1/10", "米": "1", "千米": "1000", "公里": "1000",
                   "meters": "1", "meter": "1", "inches": "127/5000", "inch": "127/5000", "feet": "381/1250"},
        "mass": {"mg": "1/1000", "g": "1", "kg": "1000", "克": "1", "千克": "1000", "公斤": "1000", "grams": "1"},
        "time": {"ms": "1/1000", "s": "1", "min": "60", "h": "3600", "秒": "1", "分钟": "60", "小时": "3600",
                 "seconds": "1", "minutes": "60", "hours": "3600", "days": "86400", "天": "86400"},
        "volume": {"ml": "1/1000", "mL": "1/1000", "l": "1", "L": "1", "毫升": "1/1000", "升": "1"},
        "area": {"平方厘米": "1/10000", "平方米": "1"},
        "angle": {r"^\circ": "1", "度": "1", "degrees": "1", "degree": "1"},
        "money": {"元": "1", "dollars": "1", r"\$": "1"},
    }.items()
    for name, factor in members.items()
}  # fmt: skip
_SCIENTIFIC = re.compile(r"([+-]?\d+(?:\.\d+)?)(?:e|\\times 10\^|\\cdot 10\^)\{?([+-]?\d{1,3})\}?", re.IGNORECASE)
_FRACTION = re.compile(r"([+-]?)(?:\\frac\{([^{}]+)\}\{([^{}]+)\}|([^/]+)/([^/]+))")
_MIXED = re.compile(r"(\d+)\\frac\{(\d+)\}\{(\d+)\}")
_WITH_UNIT = re.compile(
    r"(?P<number>.*?[\d}])\s*(?P<unit>\\\$|\^\\circ|[A-Za-z]+|[\u4e00-\u9fff]+)(?:\^\{?(?P<power>[23])\}?)?"
)


@dataclass(frozen=True)
class Quantity:
    """`dimension` is empty without a unit; `value` is in the dimension's base unit then, `stated` as written."""

    value: Fraction
    stated: Fraction
    dimension: str = ""


def parse_quantity(text: str) -> Quantity | None:
    """`text` (normalised LaTeX) as a number with an optional unit; None when it is anything else."""
    cleaned = text.strip()
    if not cleaned or len(cleaned) > MAX_NUMBER_CHARS:
        return None
    plain = _parse_rational(cleaned)
    if plain is not None:
        return Quantity(plain, plain)
    match = _WITH_UNIT.fullmatch(cleaned)
    unit = _UNITS.get(match["unit"]) if match else None
    # "5m" may be a product; a one-letter unit must stand apart from its number.
    if match is None or unit is None or (len(match["unit"]) == 1 and match["unit"].isascii() and " " not in cleaned):
        return None
    number = _parse_rational(match["number"].strip())
    if number is None:
        return None
    power = int(match["power"] or 1)
    dimension, factor = unit
    return Quantity(number * factor**power, number, dimension + (f"^{power}" if power > 1 else ""))


def quantities_equal(gold: Quantity, answer: Quantity) -> bool:
    """Units must agree up to conversion; where only one side has a unit the stated numbers decide."""
    if gold.dimension and answer.dimension:
        return gold.dimension == answer.dimension and gold.value == answer.value
    return gold.stated == answer.stated


def _parse_rational(text: str) -> Fraction | None:
    compact = squeezed(text)
    if match := _SCIENTIFIC.fullmatch(text) or _SCIENTIFIC.fullmatch(compact.replace(r"\times", r"\times ")):
        return Fraction(match[1]) * Fraction(10) ** int(match[2])
    if match := _MIXED.fullmatch(compact):
        return int(match[1]) + _divide(match[2], match[3]) if int(match[3]) else None
    if match := _FRACTION.fullmatch(compact):
        if not (parts := _divide_or_none(match[2] or match[4], match[3] or match[5])):
            return parts
        return -parts if match[1] == "-" else parts
    number = parse_number(compact)
    if number is None or (len(compact) == 1 and compact in "Il"):
        return None
    return Fraction(number.value) / (100 if number.is_percent else 1)


def _divide_or_none(top: str, bottom: str) -> Fraction | None:
    numerator, denominator = parse_number(top), parse_number(bottom)
    if numerator is None or denominator is None or denominator.value == 0:
        return None
    if numerator.is_percent or denominator.is_percent:
        return None
    return Fraction(numerator.value) / Fraction(denominator.value)


def _divide(top: str, bottom: str) -> Fraction:
    return Fraction(int(top), int(bottom))
