"""How does a model folder become an engine with its sample encoder? (The folder carries its tokenizer files.)"""

from __future__ import annotations

from pathlib import Path

import torch

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.inference.hf_engine import HfEngine
from mimo_vl.model.checkpoint import load_model
from mimo_vl.model.device import compute_device
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import load_tokenizer


def load_encoder(folder: Path, processing: ProcessingConfig) -> SampleEncoder:
    return SampleEncoder(load_tokenizer(folder), processing)


def load_on_device(folder: Path, *, dtype: torch.dtype | str) -> Qwen2_5_VLForConditionalGeneration:
    """On the GPU if there is one."""
    return load_model(folder, dtype=dtype).to(compute_device())


def build_engine(model: Qwen2_5_VLForConditionalGeneration, encoder: SampleEncoder, *, max_rows: int = 192) -> HfEngine:
    """An engine at weight version 0; an answer ends with its turn, or with the text, wherever models answer."""
    special = encoder.tokenizer.special_ids
    return HfEngine(model, encoder, stop_token_ids=(special.turn_end, special.end_of_text), max_rows=max_rows)


def load_engine(
    folder: Path, encoder: SampleEncoder, *, dtype: torch.dtype | str = torch.float32, max_rows: int = 192
) -> HfEngine:
    return build_engine(load_on_device(folder, dtype=dtype), encoder, max_rows=max_rows)
