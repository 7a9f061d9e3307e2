"""Small models and samples for the tests of mimo_vl.model."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from mimo_vl.model.assemble import assemble, fresh_language_model
from mimo_vl.model.configure import TokenIds
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.processing.positions import mrope_positions
from tests.fakes.model_sizes import tiny_config

VOCAB_SIZE = 96
TOKEN_IDS = TokenIds(image_pad=90, video_pad=91, vision_start=92, vision_end=93, end_of_turn=94, end_of_text=95)
PATCH_VALUES = 3 * 2 * 14 * 14
LONGEST_ANSWER = 40


@functools.cache
def language_checkpoint(folder: Path, tie: bool = True) -> Path:
    fresh_language_model(tiny_config(tie=tie), vocab_size=VOCAB_SIZE, seed=1, token_ids=TOKEN_IDS).save_pretrained(
        folder
    )
    return folder


def tiny_model(folder: Path, *, tie: bool = True) -> Qwen2_5_VLForConditionalGeneration:
    model = assemble(
        tiny_config(tie=tie),
        vocab_size=VOCAB_SIZE,
        language_path=language_checkpoint(folder / f"language-{tie}", tie),
        vision_path=None,
        token_ids=TOKEN_IDS,
        seed=2,
    )
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            # Zero biases would hide a bias that is missing somewhere.
            parameter.data.normal_(0.0, 0.1, generator=generator)
    return model


def sample(name: str, *parts: int | tuple[int, int, int] | tuple[int, int, int, float], seed: int = 0) -> EncodedSample:
    """A sample of text runs (int: number of tokens), images (t=1, h, w) and videos (t, h, w, seconds per grid)."""
    rng = np.random.default_rng([seed, *name.encode()])
    ids: list[int] = []
    types: list[int] = []
    grids: list[Sequence[int]] = []
    seconds: list[float] = []
    for part in parts:
        if isinstance(part, int):
            ids += rng.integers(0, 90, part).tolist()
            types += [0] * part
            continue
        t, h, w = part[:3]
        is_video = len(part) == 4
        count = t * h * w // 4
        ids += [TOKEN_IDS.video_pad if is_video else TOKEN_IDS.image_pad] * count
        types += [2 if is_video else 1] * count
        grids.append((t, h, w))
        seconds.append(part[3] if len(part) == 4 else 1.0)
    grid_thw_N3 = np.array(grids, dtype=np.int64).reshape(-1, 3)
    mm_types_T = np.array(types, dtype=np.int64)
    supervised_T = (mm_types_T == 0) & (rng.random(len(ids)) < 0.7)
    supervised_T[0] = False
    return EncodedSample(
        id=name,
        data_type="text",
        input_ids_T=np.array(ids, dtype=np.int64),
        supervised_T=supervised_T,
        mm_types_T=mm_types_T,
        positions_3T=mrope_positions(mm_types_T, grid_thw_N3, seconds),
        patches_PC=rng.normal(size=(int(grid_thw_N3.prod(1).sum()), PATCH_VALUES)).astype(np.float32),
        grid_thw_N3=grid_thw_N3,
    )


def answers(name: str, grid: tuple[int, int, int] | None, lengths: list[int]) -> list[EncodedSample]:
    """Answers of some lengths to one prompt."""
    whole = sample(name, 6, *([] if grid is None else [grid]), LONGEST_ANSWER)
    start = whole.num_tokens - LONGEST_ANSWER
    whole = replace(whole, supervised_T=np.arange(whole.num_tokens) >= start)
    return [with_answer(whole, start, length, seed) for seed, length in enumerate(lengths)]


def with_answer(whole: EncodedSample, start: int, length: int, seed: int) -> EncodedSample:
    end = start + length
    ids_T = whole.input_ids_T[:end].copy()
    ids_T[start:] = (ids_T[start:] + seed) % 90 + 1
    return replace(
        whole,
        id=f"{whole.id}-{seed}",
        input_ids_T=ids_T,
        supervised_T=whole.supervised_T[:end],
        mm_types_T=whole.mm_types_T[:end],
        positions_3T=whole.positions_3T[:, :end],
    )
