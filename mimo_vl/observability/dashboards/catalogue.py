"""All dashboards, in the order in which people open them."""

from __future__ import annotations

from mimo_vl.observability.dashboards.data import DATA
from mimo_vl.observability.dashboards.evaluation import EVALUATION
from mimo_vl.observability.dashboards.morl import MORL
from mimo_vl.observability.dashboards.operator import OPERATOR
from mimo_vl.observability.dashboards.panel import Dashboard
from mimo_vl.observability.dashboards.pipeline import OVERVIEW
from mimo_vl.observability.dashboards.rewards import REWARDS
from mimo_vl.observability.dashboards.training import TRAINING

DASHBOARDS: tuple[Dashboard, ...] = (OVERVIEW, TRAINING, MORL, REWARDS, DATA, EVALUATION, OPERATOR)
