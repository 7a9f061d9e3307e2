"""How a checkpoint folder becomes a model under test: in-process engine, encoder, likelihood of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.evaluation.infer import ModelUnderTest, TextNats
from mimo_vl.inference.load import build_engine, load_encoder, load_on_device
from mimo_vl.model.packed import row_tensors
from mimo_vl.model.supervised import supervised_loss
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration
from mimo_vl.processing.packed_row import EncodedSample, pack_row


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A checkpoint to be evaluated: its name in tables, its folder, the content digest of its artifact."""

    name: str
    folder: Path
    digest: str


def load_under_test(source: ModelSource, processing: ProcessingConfig, *, dtype: str) -> ModelUnderTest:
    """On the GPU if there is one; answers end where those of rollouts end."""
    model = load_on_device(source.folder, dtype=dtype)
    encoder = load_encoder(source.folder, processing)
    return ModelUnderTest(
        name=source.name,
        digest=source.digest,
        generator=build_engine(model, encoder),
        encoder=encoder,
        text_nats=lambda encoded: _text_nats(model, encoded),
    )


def _text_nats(model: Qwen2_5_VLForConditionalGeneration, encoded: Sequence[EncodedSample]) -> list[TextNats]:
    """One packed row; each text's supervised tokens, its end included."""
    with torch.inference_mode():
        loss = supervised_loss(model, row_tensors(pack_row(encoded), model.device))
    nats_S = torch.zeros(len(encoded), dtype=torch.float64)
    nats_S.index_add_(0, loss.segment_N.cpu(), loss.token_losses_N.double().cpu())
    counts_S = torch.bincount(loss.segment_N.cpu(), minlength=len(encoded))
    return [TextNats(nats=n, num_tokens=c) for n, c in zip(nats_S.tolist(), counts_S.tolist(), strict=True)]
