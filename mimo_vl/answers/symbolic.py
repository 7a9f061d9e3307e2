"""Whether two scalar expressions or relations are equal, by Math-Verify. Imported only in the math worker process.

Math-Verify 0.9 rounds to six digits and knows nothing of positive symbols, so its verdict is checked numerically:
a "yes" for two constants needs a relative difference below 1e-6, a "no" is overruled where both sides agree at sample
points on both sides of zero (points where a side is not real say nothing).
"""

from __future__ import annotations

from functools import lru_cache

import sympy
from math_verify import parse, verify
from math_verify.parser import LatexExtractionConfig, NormalizationConfig
from sympy.core.relational import Relational

from mimo_vl.answers.mathematics import MathVerdict

_EXTRACTION = LatexExtractionConfig(
    try_extract_without_anchor=True,
    boxed_match_priority=0,
    normalization_config=NormalizationConfig(
        basic_latex=True, units=True, malformed_operators=True, nits=True, boxed="last", equations=False
    ),
)
_RELATIVE_TOLERANCE = 1e-6
# Both signs, no special values; a rational keeps sympy from rounding early.
_POINTS = tuple(sympy.Rational(n, 7) for n in (3, 11, 19, 40, -5, -13, -27))
_MIN_POINTS = 3


def scalars_equal(gold: str, answer: str) -> MathVerdict:
    true, given = _parsed(gold), _parsed(answer)
    if true is None:
        return MathVerdict.UNPARSABLE_GOLD
    if given is None:
        return MathVerdict.UNPARSABLE_ANSWER
    if isinstance(true, Relational) != isinstance(given, Relational):
        return MathVerdict.WRONG
    # Time-outs are off: they need signals; the parent process kills this one instead.
    is_equal = bool(verify(true, given, strict=True, timeout_seconds=None))
    if isinstance(true, sympy.Expr) and isinstance(given, sympy.Expr):
        numeric = _numerically_equal(true, given)
        is_equal = numeric if numeric is not None else is_equal
    return MathVerdict.CORRECT if is_equal else MathVerdict.WRONG


@lru_cache(maxsize=4096)
def _parsed(text: str) -> sympy.Basic | sympy.MatrixBase | None:
    results = parse(
        f"\\boxed{{{text}}}", [_EXTRACTION], fallback_mode="no_fallback", extraction_mode="first_match",
        parsing_timeout=None,
    )  # fmt: skip
    return next((r for r in results if isinstance(r, sympy.Basic | sympy.MatrixBase)), None)


def _numerically_equal(true: sympy.Expr, given: sympy.Expr) -> bool | None:
    """None when numbers cannot tell: other symbols, or too few real points."""
    symbols = sorted(true.free_symbols | given.free_symbols, key=str)
    if true.free_symbols != given.free_symbols:
        return None
    if not symbols:
        return _close(_value(true, {}), _value(given, {}))
    verdicts = []
    for shift in range(len(_POINTS)):
        point = {s: _POINTS[(shift + 3 * i) % len(_POINTS)] for i, s in enumerate(symbols)}
        close = _close(_value(true, point), _value(given, point))
        if close is not None:
            verdicts.append(close)
    return all(verdicts) if len(verdicts) >= _MIN_POINTS else None


def _value(expression: sympy.Expr, point: dict[sympy.Basic, sympy.Rational]) -> sympy.Float | None:
    value = expression.subs(point).evalf(30)
    return value if value.is_Float or value.is_Integer or value.is_Rational else None


def _close(a: sympy.Float | None, b: sympy.Float | None) -> bool | None:
    if a is None or b is None:
        return None
    return bool(abs(a - b) <= _RELATIVE_TOLERANCE * max(abs(a), abs(b)))
