"""Gradients of the answers to some prompts: each prompt once per row (ours) against a prompt per answer.

The `tiny` model; groups as in its RL: 8 answers of about 9 tokens to a prompt with one picture. `equal`: the same loss,
and the same gradient up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from benchmarks.common import BenchRow, faster, interleaved_medians
from benchmarks.throughput import TOKEN_IDS, VOCAB, tiny_model
from mimo_vl.model.checkpoint import prepare_model
from mimo_vl.model.packed import row_tensors
from mimo_vl.model.supervised import supervised_loss
from mimo_vl.processing.packed_row import EncodedSample, PackedRow, pack_row
from mimo_vl.processing.positions import mrope_positions
from mimo_vl.processing.shared_prompts import pack_answers

NUM_GROUPS, GROUP_SIZE = 6, 8
_GRID = (1, 8, 8)
_NUM_TEXT_TOKENS, _MEAN_ANSWER_TOKENS = 50, 9
_TOLERANCE = 1e-4


def run() -> list[BenchRow]:
    samples = [answer for number in range(NUM_GROUPS) for answer in _group(number)]
    model = prepare_model(tiny_model())
    steps = [_step(model, pack(samples)) for pack in (pack_answers, pack_row)]
    gradients = [(step(), _gradient(model)) for step in steps]
    (loss, gradient), (wanted_loss, wanted) = gradients
    equal = abs(loss - wanted_loss) < _TOLERANCE and float((gradient - wanted).norm() / wanted.norm()) < _TOLERANCE
    num_tokens = [len(pack(samples).input_ids_T) for pack in (pack_answers, pack_row)]
    note = f"{NUM_GROUPS} groups of {GROUP_SIZE}: {num_tokens[0]} instead of {num_tokens[1]} tokens"
    return [faster("gradients of answers behind shared prompts", interleaved_medians(*steps), equal=equal, note=note)]


def _group(number: int) -> list[EncodedSample]:
    rng = np.random.default_rng([23, number])
    num_visual = _GRID[1] * _GRID[2] // 4
    text = rng.integers(10, VOCAB, size=_NUM_TEXT_TOKENS).tolist()
    prompt = [TOKEN_IDS.vision_start, *[TOKEN_IDS.image_pad] * num_visual, TOKEN_IDS.vision_end, *text]
    patches_PC = rng.standard_normal((_GRID[1] * _GRID[2], 1176)).astype(np.float32)
    lengths = rng.integers(_MEAN_ANSWER_TOKENS - 5, _MEAN_ANSWER_TOKENS + 6, size=GROUP_SIZE).tolist()
    return [
        _answer(f"{number}-{index}", [*prompt, *rng.integers(10, VOCAB, size=length).tolist()], length, patches_PC)
        for index, length in enumerate(lengths)
    ]


def _answer(name: str, ids: Sequence[int], num_targets: int, patches_PC: np.ndarray) -> EncodedSample:
    ids_T = np.array(ids, dtype=np.int64)
    types_T = (ids_T == TOKEN_IDS.image_pad).astype(np.int64)
    grid_N3 = np.array([_GRID], dtype=np.int64)
    return EncodedSample(
        id=name,
        data_type="counting",
        input_ids_T=ids_T,
        supervised_T=np.arange(len(ids_T)) >= len(ids_T) - num_targets,
        mm_types_T=types_T,
        positions_3T=mrope_positions(types_T, grid_N3, [0.0]),
        patches_PC=patches_PC,
        grid_thw_N3=grid_N3,
    )


def _step(model: Qwen2_5_VLForConditionalGeneration, row: PackedRow) -> Callable[[], float]:
    scale = 1 / row.num_supervised

    def step() -> float:
        model.zero_grad(set_to_none=True)
        loss = supervised_loss(model, row_tensors(row), scale=scale).loss_sum
        loss.backward()
        return float(loss.item())

    return step


def _gradient(model: Qwen2_5_VLForConditionalGeneration) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
