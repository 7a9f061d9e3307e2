"""The plain transformers forward of one sample alone: what the packed forward is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from mimo_vl.model.checkpoint import save_model
from mimo_vl.processing.packed_row import EncodedSample


def stock_copy(model: Qwen2_5_VLForConditionalGeneration, folder: Path) -> Qwen2_5_VLForConditionalGeneration:
    """The same weights in an untouched model with transformers' own attention."""
    save_model(model, folder)
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, attn_implementation="sdpa").train()


def stock_logits(
    model: Qwen2_5_VLForConditionalGeneration, sample: EncodedSample, seconds: float = 1.0
) -> torch.Tensor:
    """Logits [T, V] of one sample; images and videos are handed over apart, as transformers wants them."""
    sizes = sample.grid_thw_N3.prod(1)
    patches = np.split(sample.patches_PC, np.cumsum(sizes)[:-1]) if len(sizes) else []
    first_types, starts = [], 0
    placeholders = sample.mm_types_T[sample.mm_types_T != 0]
    for size in sizes:
        first_types.append(placeholders[starts])
        starts += size // 4
    media: dict[str, torch.Tensor] = {}
    for kind, pixels, grid in ((1, "pixel_values", "image_grid_thw"), (2, "pixel_values_videos", "video_grid_thw")):
        chosen = [i for i, media_kind in enumerate(first_types) if media_kind == kind]
        if chosen:
            media[pixels] = torch.from_numpy(np.concatenate([patches[i] for i in chosen]))
            media[grid] = torch.from_numpy(sample.grid_thw_N3[chosen])
            if kind == 2:
                media["second_per_grid_ts"] = torch.full((len(chosen),), seconds)
    output = model(
        input_ids=torch.from_numpy(sample.input_ids_T)[None],
        mm_token_type_ids=torch.from_numpy(sample.mm_types_T)[None],
        use_cache=False,
        **media,
    )
    return output.logits[0]


def stock_loss(model: Qwen2_5_VLForConditionalGeneration, sample: EncodedSample, seconds: float = 1.0) -> torch.Tensor:
    """Sum of the cross-entropy over supervised tokens."""
    targets = torch.from_numpy(np.flatnonzero(sample.supervised_T))
    logits = stock_logits(model, sample, seconds)
    if not len(targets):
        return logits.sum() * 0.0
    return torch.nn.functional.cross_entropy(
        logits[targets - 1], torch.from_numpy(sample.input_ids_T)[targets], reduction="sum"
    )
