"""What `mlflow.pyfunc.load_model` makes of a model folder: a table of prompts becomes answers or scores.

Named by the `MLmodel` file (mimo_vl/tracking/mlmodel.py); mlflow itself is not needed here.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml
from PIL import Image

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.data.record import sha256_hex
from mimo_vl.errors import InputError
from mimo_vl.evaluation.chat import Chat
from mimo_vl.evaluation.infer import ModelUnderTest
from mimo_vl.rewards.reward_model import RewardModelScorer, build_scorer
from mimo_vl.schema.reward import ChatMessage, ScoreMedia, ScoreRequest
from mimo_vl.schema.rollout import SamplingParams
from mimo_vl.schema.sample import MediaPart, TextPart
from mimo_vl.vocabulary import RewardTask

# Of one forward of a reward model.
_TOKEN_BUDGET = 4096


class Rows(Protocol):
    """The part of a pandas DataFrame that is needed."""

    def to_dict(self, orient: str) -> list[dict[str, Any]]: ...


class ChatModel:
    """Answers prompts, with an image or without."""

    def __init__(self, model: ModelUnderTest) -> None:
        self._model = model

    def predict(self, rows: Rows, params: Mapping[str, Any] | None = None) -> list[dict[str, str]]:
        chosen = params or {}
        sampling = SamplingParams(
            temperature=float(chosen.get("temperature", 0.0)), max_new_tokens=int(chosen.get("max_new_tokens", 64))
        )
        answers = []
        for row in rows.to_dict("records"):
            chat = Chat(model=self._model, params=sampling, image=_image(row))
            answers.append({"response": chat.answer(row["prompt"])})
        return answers


class RewardModelRows:
    """Scores responses to prompts; a higher score is a better response."""

    def __init__(self, scorer: RewardModelScorer, media: _Images) -> None:
        self._scorer = scorer
        self._media = media

    def predict(self, rows: Rows) -> list[dict[str, float]]:
        requests = [self._request(str(index), row) for index, row in enumerate(rows.to_dict("records"))]
        scores = [score.value for score in self._scorer.raw_scores(requests)]
        return [{"score": math.nan if value is None else value} for value in scores]

    def _request(self, name: str, row: Mapping[str, Any]) -> ScoreRequest:
        image = _image(row)
        task = RewardTask.PREFERENCE_TEXT if image is None else RewardTask.PREFERENCE_MULTIMODAL
        text = TextPart(text=row["prompt"])
        content = (text,) if image is None else (MediaPart(index=0), text)
        media = () if image is None else (self._media.add(image),)
        prompt = (ChatMessage(role="user", content=content),)
        return ScoreRequest(id=name, task=task, prompt=prompt, response=row["response"], media=media)


class _Images:
    """A MediaResolver over images in memory."""

    def __init__(self) -> None:
        self._images: dict[str, bytes] = {}

    def add(self, image: bytes) -> ScoreMedia:
        digest = sha256_hex(image)
        self._images[digest] = image
        with Image.open(io.BytesIO(image)) as opened:
            width, height = opened.size
        return ScoreMedia(uri=f"media/{digest}", sha256=digest, kind="image", width=width, height=height)

    def load(self, media: ScoreMedia) -> bytes:
        if media.sha256 not in self._images:
            raise InputError(f"media {media.sha256} was not given with the rows")
        return self._images[media.sha256]


def _load_pyfunc(path: str) -> ChatModel | RewardModelRows:
    """Called by MLflow; `path` is a folder with MLmodel and the model's files."""
    folder = Path(path)
    flavor = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["flavors"]["mimo_vl"]
    processing = ProcessingConfig(**flavor["processing"])
    if flavor["kind"] == "reward":
        images = _Images()
        return RewardModelRows(build_scorer(folder, processing, media=images, token_budget=_TOKEN_BUDGET), images)
    # Loads torch and transformers.
    from mimo_vl.evaluation.models import ModelSource, load_under_test

    source = ModelSource(name=folder.name, folder=folder, digest="")
    return ChatModel(load_under_test(source, processing, dtype="float32"))


def _image(row: Mapping[str, Any]) -> bytes | None:
    """A missing value of a table is None or NaN."""
    value = row.get("image")
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None
