"""How a number of a panel is written: in Grafana's units, with few digits."""

from __future__ import annotations

import math

from mimo_vl.observability.dashboards.panel import Unit

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_SECONDS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def format_value(value: float, unit: str) -> str:
    """`unit` as in the dashboard; one that is not known is written as a plain number."""
    if unit == Unit.RATIO:
        return f"{_digits(100 * value)} %"
    if unit == Unit.PERCENT:
        return f"{_digits(value)} %"
    if unit == Unit.SECONDS:
        return _scaled(value, _SECONDS, "s")
    if unit == Unit.BYTES:
        return _scaled(value, _BYTES, "B")
    if unit == Unit.HOURS:
        return f"{_digits(value)} h"
    plain = _scaled(value, _PREFIXES, "")
    return f"{plain} /s" if unit == Unit.PER_SECOND else plain


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers that cover [low, high]."""
    if not low < high:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough * 0.999)
    first = math.floor(low / step) * step
    return [first + i * step for i in range(math.ceil((high - first) / step - 1e-9) + 1)]


def _scaled(value: float, scales: tuple[tuple[float, str], ...], unit: str) -> str:
    for size, name in scales:
        if abs(value) >= size:
            return f"{_digits(value / size)} {name}"
    return f"{_digits(value)} {unit}".strip()


def _digits(value: float) -> str:
    """Three significant digits, whole numbers up to 999 as they are."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
