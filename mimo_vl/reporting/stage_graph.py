"""The stages as a graph, each with its time and attempts, and on a time line, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from mimo_vl.reporting.run import Attempt, AttemptState, Stage

_BOX_WIDTH, _BOX_HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 232.0, 58.0, 26.0, 26.0, 6.0
_MARKS = {
    AttemptState.SUCCEEDED: "✓",
    AttemptState.FAILED: "✗",
    AttemptState.KILLED: "✗",
    AttemptState.INTERRUPTED: "❚❚",
    AttemptState.RUNNING: "▶",
}
_STYLES = {
    "Succeeded": "good",
    "Reused": "good",
    "Failed": "bad",
    "Killed": "bad",
    "Running": "active",
    "Queued": "active",
    "Retrying": "active",
    "Interrupted": "warn",
    "Suspended": "warn",
    "AwaitingApproval": "warn",
}
# More marks would not fit into a box: the first ones are left out.
_MAX_MARKS = 6
_LANE, _LINE_WIDTH, _NAME_WIDTH = 22.0, 720.0, 190.0


def style_of(state: str) -> str:
    """Class of the style sheet for a state of a stage or an attempt."""
    return _STYLES.get(state, "idle")


def shown_duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def stage_graph(stages: Sequence[Stage]) -> str:
    """Top to bottom; a stage stands below all that it depends on. Arrows that follow from others are left out."""
    needs = _needs(stages)
    depth = _depths(needs)
    rows: dict[int, list[str]] = {}
    for stage in stages:
        rows.setdefault(depth[stage.name], []).append(stage.name)
    columns = max((len(row) for row in rows.values()), default=1)
    width = columns * (_BOX_WIDTH + _GAP_X) - _GAP_X + 2 * _MARGIN
    place = {}
    for level, row in rows.items():
        left = (width - len(row) * (_BOX_WIDTH + _GAP_X) + _GAP_X) / 2
        for column, name in enumerate(row):
            place[name] = (left + column * (_BOX_WIDTH + _GAP_X), _MARGIN + level * (_BOX_HEIGHT + _GAP_Y))
    height = 2 * _MARGIN + len(rows) * (_BOX_HEIGHT + _GAP_Y) - _GAP_Y
    parts = [_arrow(place[needed], place[name]) for name in place for needed in _direct(name, needs)]
    parts += [_box(stage, *place[stage.name]) for stage in stages]
    return (
        f'<svg class="graph" viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px" role="img" '
        f'aria-label="graph of the stages">{"".join(parts)}</svg>'
    )


def time_line(stages: Sequence[Stage], now: datetime | None = None) -> str:
    """A bar per attempt; "" if no times are known. `now`: the end of what still runs."""
    spans = [(s, [(a, _span(a, now)) for a in s.attempts if _span(a, now)]) for s in stages if not s.known.reused]
    rows = [(stage, [(a, span) for a, span in bars if span]) for stage, bars in spans if bars]
    if not rows:
        return ""
    first = min(span[0] for _, bars in rows for _, span in bars)
    last = max(span[1] for _, bars in rows for _, span in bars)
    total = (last - first).total_seconds() or 1.0
    height = _LANE * len(rows) + 22

    def x(time: datetime) -> float:
        return _NAME_WIDTH + (_LINE_WIDTH - _NAME_WIDTH - 4) * (time - first).total_seconds() / total

    parts = [_hours(total, height)]
    for row, (stage, bars) in enumerate(rows):
        y = _LANE * row
        name = escape(stage.name)
        parts.append(f'<text class="name" x="{_NAME_WIDTH - 8:.0f}" y="{y + 15:.1f}" text-anchor="end">{name}</text>')
        for attempt, (start, end) in bars:
            parts.append(_bar(attempt, x(start), y + 4, max(2.0, x(end) - x(start))))
    return (
        f'<svg class="times" viewBox="0 0 {_LINE_WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="attempts over time">{"".join(parts)}</svg>'
    )


def _hours(total_s: float, height: float) -> str:
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = _NAME_WIDTH + (_LINE_WIDTH - _NAME_WIDTH - 4) * share
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        label = shown_duration(total_s * share)
        parts.append(f'<path class="grid" d="M{at:.1f} 0V{height - 20:.1f}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{height - 5:.1f}" text-anchor="{anchor}">{label}</text>')
    return "".join(parts)


def _bar(attempt: Attempt, x: float, y: float, width: float) -> str:
    shape = f'<rect class="{style_of(attempt.state)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="14" rx="3"/>'
    return f"<g>{_attempt_title(attempt)}{shape}</g>"


def _span(attempt: Attempt, now: datetime | None) -> tuple[datetime, datetime] | None:
    end = attempt.finished_at or (now if attempt.state == AttemptState.RUNNING else None)
    return None if attempt.started_at is None or end is None else (attempt.started_at, max(end, attempt.started_at))


def _box(stage: Stage, x: float, y: float) -> str:
    style = style_of(stage.state)
    marks = [
        f'<tspan class="{style_of(a.state)}">{_attempt_title(a)}{a.number} {_MARKS[a.state]} </tspan>'
        for a in stage.attempts[-_MAX_MARKS:]
    ]
    more = "… " if len(stage.attempts) > _MAX_MARKS else ""
    state = escape(stage.state or "Pending")
    name = escape(stage.name)
    return (
        f'<a href="#stage-{name}"><g class="stage {style}" transform="translate({x:.1f} {y:.1f})">'
        f"<title>{name}: {state}{_told(stage)}</title>"
        f'<rect width="{_BOX_WIDTH:.0f}" height="{_BOX_HEIGHT:.0f}" rx="9"/>'
        f'<text class="name" x="12" y="23">{name}</text>'
        f'<text class="state" x="12" y="44">{state}</text>'
        f'<text class="marks" x="106" y="44">{more}{"".join(marks)}</text>'
        f'<text class="time" x="{_BOX_WIDTH - 12:.0f}" y="44" text-anchor="end">{shown_duration(stage.seconds)}</text>'
        "</g></a>"
    )


def _told(stage: Stage) -> str:
    parts = [part for part in (stage.known.reason, stage.known.message) if part]
    return escape(", " + ": ".join(parts)) if parts else ""


def _attempt_title(attempt: Attempt) -> str:
    parts = [f"attempt {attempt.number} {attempt.state}", attempt.reason, attempt.message]
    return f"<title>{escape(': '.join(part for part in parts if part))}</title>"


def _arrow(above: tuple[float, float], below: tuple[float, float]) -> str:
    x0, y0 = above[0] + _BOX_WIDTH / 2, above[1] + _BOX_HEIGHT
    x1, y1 = below[0] + _BOX_WIDTH / 2, below[1]
    middle = y1 - _GAP_Y / 2
    if y1 - y0 > _GAP_Y + 1:
        # Past the boxes in between, at their right edge.
        side = max(x0, x1) + _BOX_WIDTH / 2 + 6
        return f'<path class="edge" d="M{x0:.1f} {y0:.1f}V{y0 + 10:.1f}H{side:.1f}V{middle:.1f}H{x1:.1f}V{y1:.1f}"/>'
    return f'<path class="edge" d="M{x0:.1f} {y0:.1f}V{middle:.1f}H{x1:.1f}V{y1:.1f}"/>'


def _needs(stages: Sequence[Stage]) -> dict[str, set[str]]:
    names = {stage.name for stage in stages}
    return {stage.name: set(stage.known.depends_on) & names for stage in stages}


def _depths(needs: Mapping[str, set[str]]) -> dict[str, int]:
    """Length of the longest way to each stage. The graph has no loop: the controller refuses one."""
    depth: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((of(needed) for needed in needs[name]), default=-1)
        return depth[name]

    for name in needs:
        of(name)
    return depth


def _direct(name: str, needs: Mapping[str, set[str]]) -> list[str]:
    """What it needs, without what one of these needs already."""
    return sorted(n for n in needs[name] if not any(n in _all_needs(other, needs) for other in needs[name] - {n}))


def _all_needs(name: str, needs: Mapping[str, set[str]]) -> set[str]:
    found = set(needs[name])
    for needed in needs[name]:
        found |= _all_needs(needed, needs)
    return found
