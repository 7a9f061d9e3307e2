"""Which predictions are drawn, and their drawing: each family with pictures has its share, by position, not score."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from mimo_vl.answers.timespans import extract_timespan
from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.data.record import Record
from mimo_vl.evaluation.pictures import draw_filmstrip, draw_prediction
from mimo_vl.evaluation.task import EvalItem
from mimo_vl.processing.videos import plan_video, read_frames
from mimo_vl.schema.evaluation import UNSCORED, ItemResult, Picture

# Families whose answers say something about a place, a time or a thing in the picture; the first get more of the room.
DRAWN_FAMILIES = ("grounding", "gui", "temporal_grounding", "visual_reasoning", "counting", "ocr", "qa", "caption")


def draw_gallery(
    model: str,
    results: Mapping[str, Sequence[ItemResult]],
    items: Mapping[str, Mapping[str, tuple[EvalItem, Record]]],
    *,
    num_pictures: int,
    out_dir: Path,
    processing: ProcessingConfig,
) -> list[Picture]:
    """Write pictures/<family>-<k>.png under `out_dir`.

    Args:
        model: whose predictions these are.
        results: by family, in item order.
        items: by family, then by item id.
        num_pictures: at most so many.
        out_dir: of the artifact.
        processing: how a video becomes frames.
    """
    pictures = []
    for family, number, result in _choose(results, num_pictures):
        item, record = items[family][result.item_id]
        path = f"pictures/{family}-{number}.png"
        (out_dir / path).parent.mkdir(parents=True, exist_ok=True)
        (out_dir / path).write_bytes(_draw(item, record, result.response, processing))
        pictures.append(
            Picture(
                path=path,
                family=family,
                model=model,
                prompt=result.prompt,
                response=result.response,
                reference=result.reference,
                score=result.metrics.get("score", 0.0),
            )
        )
    return pictures


def _choose(results: Mapping[str, Sequence[ItemResult]], num_pictures: int) -> list[tuple[str, int, ItemResult]]:
    """Evenly spaced items of each family (the middle of each part), grouped by family."""
    families = [f for f in DRAWN_FAMILIES if results.get(f)]
    if not families:
        return []
    share, extra = divmod(num_pictures, len(families))
    chosen: list[tuple[str, int, ItemResult]] = []
    for position, family in enumerate(families):
        scored = [r for r in results[family] if r.status not in UNSCORED and r.sample_index == 0]
        count = min(share + (position < extra), len(scored))
        chosen.extend((family, k, scored[(2 * k + 1) * len(scored) // (2 * count)]) for k in range(count))
    return chosen


def _draw(item: EvalItem, record: Record, response: str, processing: ProcessingConfig) -> bytes:
    ref = item.sample.media[0]
    if ref.kind == "image":
        return draw_prediction(item, record.media[0], response)
    fps = ref.fps or 0.0
    plan = plan_video(num_frames=ref.num_frames, fps=fps, height=ref.height, width=ref.width, config=processing)
    frames = [Image.fromarray(frame) for frame in read_frames(record.media[0], plan)]
    span = extract_timespan(response).value
    true = json.loads(item.reference)
    return draw_filmstrip(
        frames,
        ref.num_frames / fps,
        true=(float(true[0]), float(true[1])),
        predicted=(span.start_s, span.end_s) if span else None,
    )
