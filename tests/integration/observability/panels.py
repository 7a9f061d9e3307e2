"""Which panels have data in a Prometheus?"""

from __future__ import annotations

from typing import Any

from mimo_vl.observability.dashboards.catalogue import DASHBOARDS
from mimo_vl.observability.dashboards.grafana import dashboard_json
from mimo_vl.observability.dashboards.page import PageRequest, panel_series

# What no machine without a GPU can show, and why.
EMPTY_ON_CPUS = {
    "mimo-overview: Mean use of the GPUs": "there is no GPU whose driver could tell",
    "mimo-training: Model FLOPs utilisation": "the peak of a CPU is not known",
}


def all_panels() -> dict[str, dict[str, Any]]:
    """`<dashboard>: <title>` -> the panel, as Grafana gets it."""
    return {
        f"{board.uid}: {panel['title']}": panel
        for board in DASHBOARDS
        for panel in dashboard_json(board)["panels"]
        if panel["type"] != "row"
    }


def has_data(panel: dict[str, Any], request: PageRequest) -> bool:
    """Raises ServiceUnavailableError while nobody answers."""
    return bool(panel_series(panel, request))
