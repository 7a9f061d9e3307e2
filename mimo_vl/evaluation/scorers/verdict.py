"""How a failed extraction becomes a score of 0 with its reason counted."""

from __future__ import annotations

from mimo_vl.answers.extraction import Extraction, T
from mimo_vl.evaluation.task import ItemScore
from mimo_vl.schema.evaluation import ItemStatus


def failed(extraction: Extraction[T], *metrics: str) -> ItemScore:
    """0 for the headline and for each of `metrics`; the extraction's status, its reason as `parsed`."""
    return ItemScore(
        metrics=dict.fromkeys(("score", *metrics), 0.0),
        parsed=extraction.reason,
        status=ItemStatus(extraction.status.value),
    )
