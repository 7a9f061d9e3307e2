"""Is the reference possible? Reasons: box_outside_image, span_outside_video."""

from __future__ import annotations

import json

from mimo_vl.data.record import Record
from mimo_vl.data.step import KEEP, Verdict, drop
from mimo_vl.schema.sample import MediaRef
from mimo_vl.vocabulary import RewardTask


def judge_answer(record: Record) -> Verdict:
    sample = record.sample
    if sample.task in (RewardTask.GROUNDING_BOX, RewardTask.GROUNDING_POINT):
        return KEEP if _is_inside(json.loads(sample.reference or "[]"), sample.media[0]) else drop("box_outside_image")
    if sample.task is RewardTask.TEMPORAL_GROUNDING:
        start, end = json.loads(sample.reference or "[]")
        media = sample.media[0]
        duration_s = media.num_frames / (media.fps or 1.0)
        return KEEP if 0 <= start < end <= duration_s else drop("span_outside_video")
    return KEEP


def _is_inside(box: list[float], media: MediaRef) -> bool:
    x1, y1, x2, y2 = box
    return 0 <= x1 < x2 <= media.width and 0 <= y1 < y2 <= media.height
