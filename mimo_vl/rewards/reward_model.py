"""Scores completions with a trained Bradley-Terry reward model, many per forward, within a token budget.

A completion is encoded exactly as in training: the prompt and the answer as a finished assistant turn; the head reads
the last token. The composition of forwards depends only on the order of requests, so scores are reproducible.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.errors import InputError
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.processing.shared_prompts import pack_answers
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.rewards.media import MediaResolver
from mimo_vl.rewards.requests import answered, prompt_sample
from mimo_vl.rewards.router import RawScore
from mimo_vl.schema.reward import ScoreRequest

if TYPE_CHECKING:
    from mimo_vl.model.reward_head import RewardModel

logger = logging.getLogger(__name__)


def build_scorer(
    model_dir: Path,
    processing: ProcessingConfig,
    *,
    media: MediaResolver | None,
    token_budget: int,
    num_threads: int = 1,
    device: str = "cpu",
) -> RewardModelScorer:
    """Load a reward-model artifact (weights, head and tokenizer in one folder)."""
    # torch and transformers cost seconds and hundreds of MB: only the process that holds a model loads them.
    import torch

    from mimo_vl.model.device import compute_dtype, require_device
    from mimo_vl.model.reward_head import load_reward_model

    require_device(has_gpu=device != "cpu")
    if device == "cpu":
        torch.set_num_threads(num_threads)
    model = load_reward_model(model_dir, dtype=compute_dtype(device)).to(device)
    encoder = SampleEncoder(load_tokenizer(model_dir), processing)
    version = weights_version(model_dir)
    return RewardModelScorer(model, encoder, media=media, token_budget=token_budget, version=version, device=device)


def weights_version(model_dir: Path) -> str:
    """First 12 hex digits of the sha256 over all weight files: other weights, other version."""
    digest = hashlib.sha256()
    for path in sorted(model_dir.glob("*.safetensors")):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


class RewardModelScorer:
    """A PreferenceScorer around a reward model that is already loaded."""

    def __init__(
        self,
        model: RewardModel,
        encoder: SampleEncoder,
        *,
        media: MediaResolver | None,
        token_budget: int,
        version: str,
        device: str = "cpu",
    ) -> None:
        if token_budget < 1:
            raise ValueError(f"token_budget is {token_budget}, wanted at least 1 token per forward")
        self.version = version
        self._model = model
        self._encoder = encoder
        self._media = media
        self._token_budget = token_budget
        self._device = device

    def raw_scores(self, requests: Sequence[ScoreRequest]) -> list[RawScore]:
        """One score per request, in order; a request whose media cannot be read gets none, the others are scored."""
        scores: list[RawScore] = [RawScore(None)] * len(requests)
        encoded: list[tuple[int, EncodedSample]] = []
        for index, request in enumerate(requests):
            try:
                encoded.append((index, self._encode(request)))
            except InputError as error:
                logger.warning("request %s cannot be scored: %s", request.id, error)
                scores[index] = RawScore(None, str(error))
        for batch in token_batches([sample.num_tokens for _, sample in encoded], self._token_budget):
            values = self._forward([encoded[i][1] for i in batch])
            for i, value in zip(batch, values, strict=True):
                scores[encoded[i][0]] = RawScore(value)
        return scores

    def _encode(self, request: ScoreRequest) -> EncodedSample:
        if request.media and self._media is None:
            raise InputError(f"request {request.id} has media, but this reward model was given no media folder")
        media = [self._media.load(m) for m in request.media] if self._media is not None else []
        return self._encoder.encode(answered(prompt_sample(request), request.response), media)

    def _forward(self, samples: Sequence[EncodedSample]) -> list[float]:
        import torch

        from mimo_vl.model.packed import row_tensors

        with torch.inference_mode():
            scores_S = self._model.scores(row_tensors(pack_answers(samples), self._device))
        return [float(score) for score in scores_S.float().cpu()]


def token_batches(num_tokens: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in order, cut where the next one would exceed the budget; one longer than the budget goes alone."""
    batches: list[list[int]] = []
    used = budget
    for index, count in enumerate(num_tokens):
        if used + count > budget:
            batches.append([])
            used = 0
        batches[-1].append(index)
        used += count
    return batches
