"""Are a record's media readable and of a usable shape? Reasons: corrupt_image, corrupt_video, too_small, too_thin."""

from __future__ import annotations

from mimo_vl.data.record import Record
from mimo_vl.data.step import KEEP, Verdict, drop
from mimo_vl.errors import CorruptDataError
from mimo_vl.processing.images import FACTOR, decode_image
from mimo_vl.processing.videos import count_frames

# Below 28 px resizing rules of public libraries differ; beyond 200 the model's processor refuses.
_MIN_SIDE_PX = FACTOR
_MAX_ASPECT_RATIO = 200


def judge_media(record: Record) -> Verdict:
    for ref, data in zip(record.sample.media, record.media, strict=True):
        try:
            if ref.kind == "image":
                decode_image(data)
            elif count_frames(data) != ref.num_frames:
                return drop("corrupt_video")
        except CorruptDataError:
            return drop(f"corrupt_{ref.kind}")
        short, long = sorted((ref.width, ref.height))
        if short < _MIN_SIDE_PX:
            return drop("too_small")
        if long > _MAX_ASPECT_RATIO * short:
            return drop("too_thin")
    return KEEP
