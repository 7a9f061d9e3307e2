"""What the page of the overview says of stages and attempts, read from its text."""

from __future__ import annotations

import re

from mimo_vl.observability.dashboards.pipeline import OVERVIEW
from operators.mimo_pipeline.pipeline_metrics import shown_message


def by_panel(text: str) -> dict[str, list[str]]:
    """The lines below each title of a panel of the overview."""
    panels, found, title = {panel.title for panel in OVERVIEW.panels}, {}, ""
    for line in text.splitlines():
        if line in panels and line not in found:
            title = line
            found[title] = []
        elif title and line.strip():
            found[title].append(line)
    return found


def shows_attempt(dashboards: dict[str, list[str]], stage: str, attempt: int) -> bool:
    """The bar of the stage in the panel of the latest attempts."""
    return re.search(rf"/\S+ {stage}\s+{attempt}$", "\n".join(dashboards["Attempts"]), re.M) is not None


def shows_state(dashboards: dict[str, list[str]], stage: str, state: str) -> bool:
    """Its one row of the table."""
    rows = [line.split("\t") for line in dashboards["State of each stage"] if stage in line.split("\t")]
    return len(rows) == 1 and state in rows[0]


def shows_failure(dashboards: dict[str, list[str]], stage: str, reason: str, message: str) -> bool:
    """Of the first attempt, in the one row of the stage; the message as far as labels go."""
    rows = [line.split("\t") for line in dashboards["Why attempts failed"] if stage in line.split("\t")]
    return len(rows) == 1 and rows[0][0] == "1" and reason in rows[0] and shown_message(message) == rows[0][1]
