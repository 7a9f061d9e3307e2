"""Which time span an answer states: `[mm:ss, mm:ss]`, `h:mm:ss`, fractions, minutes above 59, seconds with `s`."""

from __future__ import annotations

import re

from mimo_vl.answers.characters import to_half_width
from mimo_vl.answers.extraction import (
    Extraction,
    answer_part,
    boxes_in,
    carry_error,
    extract_boxed,
    format_error,
    found,
)
from mimo_vl.answers.temporal import TimeSpan

# 1:02:03.5 | 100:05 | 12.3s. Bounded repeats keep the search linear on hostile text.
_TIME = (
    r"(?:(?:(?P<h{n}>[0-9]{{1,3}}):)?(?P<m{n}>[0-9]{{1,4}}):(?P<s{n}>[0-9]{{2}}(?:\.[0-9]{{1,6}})?)"
    r"|(?P<p{n}>[0-9]{{1,6}}(?:\.[0-9]{{1,6}})?)\s?(?:s|sec|seconds|秒)(?![a-z]))"
)
_PAIR = re.compile(
    r"(?<![0-9:.])" + _TIME.format(n=1) + r"\s{0,4}(?:,|-|~|to|至|到)\s{0,4}" + _TIME.format(n=2) + r"(?![0-9:])",
    re.IGNORECASE,
)


def parse_timespan(text: str) -> Extraction[TimeSpan]:
    """The last pair of times in `text`; a reversed pair is swapped and flagged."""
    matches = list(_PAIR.finditer(to_half_width(text)))
    if not matches:
        return format_error("no pair of timestamps such as [00:02, 00:05]")
    start_s, end_s = _seconds(matches[-1], 1), _seconds(matches[-1], 2)
    if start_s is None or end_s is None:
        return format_error("seconds of 60 or more, or minutes of 60 or more after hours")
    if start_s > end_s:
        return found(TimeSpan(end_s, start_s), "swapped")
    return found(TimeSpan(start_s, end_s))


def _seconds(match: re.Match[str], n: int) -> float | None:
    if (plain := match[f"p{n}"]) is not None:
        return float(plain)
    hours, minutes, seconds = match[f"h{n}"], int(match[f"m{n}"]), float(match[f"s{n}"])
    if seconds >= 60 or (hours is not None and minutes >= 60):
        return None
    return int(hours or 0) * 3600 + minutes * 60 + seconds


def extract_timespan(response: str) -> Extraction[TimeSpan]:
    """From the last box if the answer part has one, else from the answer part."""
    part = answer_part(response)
    if part.value is None:
        return carry_error(part)
    if not boxes_in(part.value):
        return parse_timespan(part.value)
    boxed = extract_boxed(response)
    return carry_error(boxed) if boxed.value is None else parse_timespan(boxed.value)
