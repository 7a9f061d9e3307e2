"""Pre-training steps end to end: packed rows (ours) against a padded batch through transformers' own forward.

Same samples, same weights, forward + backward + AdamW on the `tiny` model. Lengths are log-normal (the usual long
tail), half of the samples have an image, a quarter of the text is supervised. Tokens/s count real tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from benchmarks.common import BenchRow, interleaved_medians
from mimo_vl.config.compose import compose
from mimo_vl.data.packing import pack
from mimo_vl.model.assemble import build_model_config
from mimo_vl.model.checkpoint import prepare_model
from mimo_vl.model.configure import TokenIds
from mimo_vl.model.packed import row_tensors
from mimo_vl.model.supervised import supervised_loss
from mimo_vl.processing.packed_row import EncodedSample, pack_row
from mimo_vl.processing.positions import mrope_positions

NUM_SAMPLES = 16
ROW_TOKENS = 1024
VOCAB = 2048
TOKEN_IDS = TokenIds(image_pad=1, video_pad=2, vision_start=3, vision_end=4, end_of_turn=5, end_of_text=6)
_MEAN_LOG_LENGTH, _SPREAD_LOG_LENGTH, _LENGTHS = 3.7, 0.9, (16, 512)
_GRID = (1, 8, 8)
_SUPERVISED_SHARE = 0.25


def run() -> list[BenchRow]:
    samples = [_sample(i) for i in range(NUM_SAMPLES)]
    num_tokens = sum(s.num_tokens for s in samples)
    packed, padded = tiny_model(), tiny_model()
    ours, baseline = _packed_step(prepare_model(packed), samples), _padded_step(padded, samples)
    equal = abs(ours() - baseline()) < 1e-3
    ours_s, baseline_s = interleaved_medians(ours, baseline)
    longest = max(s.num_tokens for s in samples)
    return [
        BenchRow(
            name="pre-training step, packed against padded",
            ours=num_tokens / ours_s,
            baseline=num_tokens / baseline_s,
            unit="tokens/s",
            ratio=baseline_s / ours_s,
            equal=equal,
            note=f"{NUM_SAMPLES} samples, {num_tokens} tokens; padded batch {num_tokens / longest / NUM_SAMPLES:.0%} "
            f"full; {torch.get_num_threads()} threads",
        )
    ]


def tiny_model() -> Qwen2_5_VLForConditionalGeneration:
    torch.manual_seed(0)
    config = build_model_config(compose("tiny").model, vocab_size=VOCAB, token_ids=TOKEN_IDS)
    return Qwen2_5_VLForConditionalGeneration(config).train()


def _sample(number: int) -> EncodedSample:
    rng = np.random.default_rng([17, number])
    length = int(np.clip(rng.lognormal(_MEAN_LOG_LENGTH, _SPREAD_LOG_LENGTH), *_LENGTHS))
    ids = rng.integers(10, VOCAB, size=length).tolist()
    grids: list[tuple[int, int, int]] = []
    if number % 2:
        num_visual = _GRID[0] * _GRID[1] * _GRID[2] // 4
        ids = [TOKEN_IDS.vision_start, *[TOKEN_IDS.image_pad] * num_visual, TOKEN_IDS.vision_end, *ids]
        grids = [_GRID]
    ids_T = np.array(ids, dtype=np.int64)
    types_T = (ids_T == TOKEN_IDS.image_pad).astype(np.int64)
    grid_N3 = np.array(grids, dtype=np.int64).reshape(-1, 3)
    supervised_T = np.zeros(len(ids), dtype=np.bool_)
    supervised_T[len(ids) - max(1, int(_SUPERVISED_SHARE * length)) :] = True
    return EncodedSample(
        id=f"sample-{number}",
        data_type="caption",
        input_ids_T=ids_T,
        supervised_T=supervised_T,
        mm_types_T=types_T,
        positions_3T=mrope_positions(types_T, grid_N3, [0.0] * len(grids)),
        patches_PC=rng.standard_normal((int(grid_N3.prod(1).sum()), 1176)).astype(np.float32),
        grid_thw_N3=grid_N3,
    )


def _packed_step(model: Qwen2_5_VLForConditionalGeneration, samples: Sequence[EncodedSample]) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    costs = [(s.num_tokens, s.num_patches) for s in samples]
    rows = [pack_row([samples[i] for i in b]) for b in pack(costs, ROW_TOKENS, 4 * ROW_TOKENS)]
    scale = 1 / sum(row.num_supervised for row in rows)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for row in rows:
            loss = supervised_loss(model, row_tensors(row), scale=scale).loss_sum
            loss.backward()
            total += loss.item()
        optimizer.step()
        return total

    return step


def _padded_step(model: Qwen2_5_VLForConditionalGeneration, samples: Sequence[EncodedSample]) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    longest = max(s.num_tokens for s in samples)

    def padded(arrays: Sequence[np.ndarray], value: int) -> torch.Tensor:
        rows = [np.pad(a, (0, longest - len(a)), constant_values=value) for a in arrays]
        return torch.from_numpy(np.stack(rows))

    batch = {
        "input_ids": padded([s.input_ids_T for s in samples], TOKEN_IDS.end_of_text),
        "attention_mask": padded([np.ones(s.num_tokens, dtype=np.int64) for s in samples], 0),
        "mm_token_type_ids": padded([s.mm_types_T for s in samples], 0).int(),
        "labels": padded([np.where(s.supervised_T, s.input_ids_T, -100) for s in samples], -100),
        "pixel_values": torch.from_numpy(np.concatenate([s.patches_PC for s in samples])),
        "image_grid_thw": torch.from_numpy(np.concatenate([s.grid_thw_N3 for s in samples])),
    }

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step
