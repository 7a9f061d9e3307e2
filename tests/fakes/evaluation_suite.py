"""A whole evaluation without weights: eight items per family, and models of known quality that answer them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mimo_vl.data.record import Record
from mimo_vl.evaluation.infer import ModelUnderTest
from mimo_vl.evaluation.scorers import build_scorers
from mimo_vl.evaluation.suite import Bench
from mimo_vl.processing.videos import write_video
from mimo_vl.schema.sample import Sample
from mimo_vl.vocabulary import DataType, RlFamily
from tests.fakes.answering import fake_model
from tests.fakes.items import eval_sample
from tests.fakes.math_judge import CheapJudge

NUM_ITEMS = 8
SIDE = 84


def right_answer(sample: Sample) -> str:
    """In the form that a trained model gives it."""
    reference, scorer = sample.reference or "", sample.meta["scorer"]
    if scorer == "grounding_box":
        return f'```json\n[{{"bbox_2d": {reference}, "label": "7"}}]\n```'
    if scorer == "grounding_point":
        x1, y1, x2, y2 = json.loads(reference)
        return f'```json\n[{{"point_2d": [{(x1 + x2) // 2}, {(y1 + y2) // 2}], "label": "7"}}]\n```'
    if scorer == "temporal_iou":
        start, end = (int(v) for v in json.loads(reference))
        return rf"\boxed{{[00:{start:02d}, 00:{end:02d}]}}"
    if scorer == "math_answer":
        return rf"<think>work</think>\boxed{{{reference}}}"
    return rf"\boxed{{{reference}}}" if scorer == "count_exact" else reference


# Family -> (data type, scorer, reference of item i).
_FAMILIES = {
    "visual_reasoning": (DataType.REASONING, "math_answer", lambda i: str(i)),
    "text_reasoning": (DataType.REASONING, "math_answer", lambda i: str(2 * i)),
    "grounding": (DataType.GROUNDING, "", lambda i: json.dumps([4 * i, 10, 4 * i + 28, 38])),
    "counting": (DataType.COUNTING, "count_exact", lambda i: str(i % 6 + 1)),
    "temporal_grounding": (DataType.VIDEO, "temporal_iou", lambda i: json.dumps([float(i % 3), float(i % 3 + 1)])),
    "caption": (DataType.CAPTION, "token_f1", lambda i: f"digit {i} on blue"),
    "interleaved": (DataType.INTERLEAVED, "token_f1", lambda i: f"{i} then {i + 1}"),
    "ocr": (DataType.OCR, "per_digit", lambda i: str(1234 + i)),
    "qa": (DataType.QA, "exact_text", lambda i: ["red", "blue"][i % 2]),
    "video": (DataType.VIDEO, "exact_text", lambda i: str(i)),
    "gui": (DataType.GUI, "gui_step", lambda i: json.dumps({"action": "click", "start_point": [10 + i, 20]})),
    "instruction": (DataType.INSTRUCTION, "exact_text", lambda i: f"{i} {i + 1} {i + 2}"),
    "text": (DataType.TEXT, "likelihood", lambda i: f"text number {i}"),
}
_WITHOUT_PICTURE = ("text_reasoning", "instruction", "text")


@cache
def records(family: str) -> tuple[Record, ...]:
    return tuple(_record(family, i) for i in range(NUM_ITEMS))


def _record(family: str, i: int) -> Record:
    data_type, scorer, reference = _FAMILIES[family]
    meta = {"scorer": scorer or ("grounding_box" if i % 2 == 0 else "grounding_point")}
    if family == "grounding":
        meta["boxes"] = json.dumps([json.loads(reference(i))])
    if family == "gui":
        meta["boxes"] = json.dumps([[i, 10, 20 + i, 30]])
    is_video = data_type is DataType.VIDEO
    sample = eval_sample(
        f"{family}-{i}",
        reference=reference(i),
        data_type=data_type,
        family=RlFamily(family) if family in set(RlFamily) else None,
        size=None if family in _WITHOUT_PICTURE else (SIDE, SIDE),
        kind="video" if is_video else "image",
        **meta,
    )
    if not sample.media:
        return Record(sample=sample)
    data = _video(i) if is_video else _image(i)
    ref = sample.media[0].model_copy(
        update={"sha256": hashlib.sha256(data).hexdigest(), "num_frames": 8 if is_video else 1}
    )
    return Record(sample=sample.model_copy(update={"media": (ref,)}), media=(data,))


def _image(i: int) -> bytes:
    image = Image.new("RGB", (SIDE, SIDE), (30, 40 + 10 * i, 90))
    ImageDraw.Draw(image).text((4 * i + 8, 16), str(i), fill="white", font_size=20)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _video(i: int) -> bytes:
    frames = [np.full((SIDE, SIDE, 3), 30 * k + i, np.uint8) for k in range(8)]
    return write_video(frames, fps=2)


def model_of_quality(name: str, share_right: float, *, nats: float = 2.0) -> ModelUnderTest:
    """Right on the first `share_right` of each family's items, unreadable on the others."""

    def answer(item_id: str, _sample_index: int) -> str:
        family, number = item_id.rsplit("-", 1)
        is_right = int(number) < share_right * NUM_ITEMS
        return right_answer(records(family)[int(number)].sample) if is_right else "no idea"

    return replace(fake_model(answer, name=name, digest=f"sha256:{name}", nats=nats), name=name)


def bench(root: Path, models: Sequence[ModelUnderTest]) -> Bench:
    by_name = {m.name: m for m in models}
    return Bench(
        load_model=by_name.__getitem__,
        load_dataset=lambda name: records(name.removeprefix("eval-")),
        sent_size=lambda media: (media.width, media.height),
        scorers=build_scorers(CheapJudge()),
        log_dir=root / "log",
        out_dir=root / "out",
        max_new_tokens=8,
        batch_size=3,
        seed=0,
    )
