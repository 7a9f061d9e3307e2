"""Chunked supervised cross-entropy against full logits: time and peak memory of forward and backward.

2,048 tokens of width 512 and the 151,936 rows of the Qwen2.5 vocabulary, a quarter of the tokens supervised. The
baseline is what a causal language model of transformers does: logits of all positions in float32, then
`torch.nn.functional.cross_entropy` with -100 at the unsupervised ones.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from benchmarks.common import BenchRow, faster, interleaved_medians, peak_extra_bytes
from mimo_vl.model.cross_entropy import DEFAULT_CHUNK, chunked_cross_entropy

NUM_TOKENS, WIDTH, VOCABULARY, SUPERVISED_SHARE = 2048, 512, 151_936, 0.25
MEMORY_REPEATS = 5
MIB = 2**20


def run() -> list[BenchRow]:
    generator = torch.Generator().manual_seed(0)
    h_TD = torch.randn(NUM_TOKENS, WIDTH, generator=generator).requires_grad_()
    weight_VD = (torch.randn(VOCABULARY, WIDTH, generator=generator) * 0.02).requires_grad_()
    targets_T = torch.randint(0, VOCABULARY, (NUM_TOKENS,), generator=generator)
    supervised_N = torch.randperm(NUM_TOKENS, generator=generator)[: int(NUM_TOKENS * SUPERVISED_SHARE)].sort().values
    labels_T = torch.full_like(targets_T, -100)
    labels_T[supervised_N] = targets_T[supervised_N]

    def clear() -> None:
        h_TD.grad = weight_VD.grad = None

    def ours() -> torch.Tensor:
        clear()
        loss, _ = chunked_cross_entropy(
            h_TD[supervised_N], weight_VD, targets_T[supervised_N], scale=1 / len(supervised_N)
        )
        loss.backward()
        return loss.detach()

    def baseline() -> torch.Tensor:
        clear()
        loss = cross_entropy((h_TD @ weight_VD.T).float(), labels_T, ignore_index=-100)
        loss.backward()
        return loss.detach()

    results = []
    for function in (ours, baseline):
        loss = function()
        results.append((loss, h_TD.grad.clone(), weight_VD.grad.clone()))
    equal = all(torch.allclose(a, b, atol=1e-6, rtol=1e-4) for a, b in zip(*results, strict=True))
    results.clear()
    note = (
        f"{NUM_TOKENS} tokens, {SUPERVISED_SHARE:.0%} supervised, width {WIDTH}, vocabulary {VOCABULARY}, "
        f"chunk {DEFAULT_CHUNK}, fp32, {torch.get_num_threads()} threads"
    )
    times = interleaved_medians(ours, baseline)
    peaks: tuple[list[int], list[int]] = ([], [])
    for _ in range(MEMORY_REPEATS):
        for function, measured in zip((ours, baseline), peaks, strict=True):
            clear()
            measured.append(peak_extra_bytes(function))
    ours_mib, baseline_mib = (sorted(measured)[MEMORY_REPEATS // 2] / MIB for measured in peaks)
    memory = BenchRow(
        name="supervised cross-entropy, peak extra memory",
        ours=ours_mib,
        baseline=baseline_mib,
        unit="MiB",
        ratio=baseline_mib / ours_mib,
        equal=equal,
        note=note + "; growth of the resident size, gradients included",
        limit=5.0,
    )
    return [faster("supervised cross-entropy, time", times, equal=equal, note=note, limit=3.0), memory]
