"""How do the answers to one prompt become a row that holds the prompt, and its pictures, once?

A group of G answers of A tokens to a prompt of P tokens takes P + G A tokens instead of G (P + A), and one pass of the
vision tower instead of G; losses, scores and gradients are the same up to rounding (Prefix Grouper, Liu et al. 2025).
"""

# Shapes: T tokens, S segments
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mimo_vl.processing.packed_row import EncodedSample, PackedRow, pack_row


def pack_answers(samples: Sequence[EncodedSample]) -> PackedRow:
    """As `pack_row`, but neighbours with the same prompt share it: media and all tokens before the first target.

    Segments: [prompt, answer, answer, ..., sample without a neighbour to share with, prompt, ...].

    Raises:
        ValueError: see `pack_row`.
    """
    segments: list[EncodedSample] = []
    prefix_S: list[int] = []
    for run in _runs(samples):
        if len(run) == 1:
            segments.append(run[0])
            prefix_S.append(-1)
            continue
        length = _prompt_length(run[0])
        prefix_S.extend([-1, *[len(segments)] * len(run)])
        segments.append(_prompt(run[0], length))
        segments.extend(_answer(sample, length) for sample in run)
    is_answer_S = np.array(prefix_S) >= 0
    row = pack_row([_cleared(s) if is_answer else s for s, is_answer in zip(segments, is_answer_S, strict=True)])
    # Predicted from the prompt's last token.
    is_target_S = is_answer_S & [bool(segment.supervised_T[0]) for segment in segments]
    row.supervised_T[row.cu_seqlens_S1[:-1][is_target_S]] = True
    return replace(row, prefix_S=tuple(prefix_S) if is_answer_S.any() else ())


def _runs(samples: Sequence[EncodedSample]) -> Iterator[list[EncodedSample]]:
    """Neighbours with the same prompt."""
    run: list[EncodedSample] = []
    for sample in samples:
        if run and not _has_same_prompt(run[0], sample):
            yield run
            run = []
        run.append(sample)
    if run:
        yield run


def _has_same_prompt(a: EncodedSample, b: EncodedSample) -> bool:
    length = _prompt_length(a)
    if length == 0 or length != _prompt_length(b) or a.mm_types_T[length:].any() or b.mm_types_T[length:].any():
        return False
    return (
        np.array_equal(a.input_ids_T[:length], b.input_ids_T[:length])
        and np.array_equal(a.positions_3T[:, :length], b.positions_3T[:, :length])
        and np.array_equal(a.grid_thw_N3, b.grid_thw_N3)
        and (a.patches_PC is b.patches_PC or np.array_equal(a.patches_PC, b.patches_PC))
    )


def _prompt_length(sample: EncodedSample) -> int:
    """Tokens before the first target; at least one token stays the sample's own."""
    targets = np.flatnonzero(sample.supervised_T)
    return int(targets[0]) if len(targets) else sample.num_tokens - 1


def _prompt(sample: EncodedSample, length: int) -> EncodedSample:
    return replace(
        sample,
        input_ids_T=sample.input_ids_T[:length],
        supervised_T=sample.supervised_T[:length],
        mm_types_T=sample.mm_types_T[:length],
        positions_3T=sample.positions_3T[:, :length],
    )


def _answer(sample: EncodedSample, start: int) -> EncodedSample:
    return replace(
        sample,
        input_ids_T=sample.input_ids_T[start:],
        supervised_T=sample.supervised_T[start:],
        mm_types_T=sample.mm_types_T[start:],
        positions_3T=sample.positions_3T[:, start:],
        patches_PC=sample.patches_PC[:0],
        grid_thw_N3=sample.grid_thw_N3[:0],
    )


def _cleared(sample: EncodedSample) -> EncodedSample:
    """With its first token not supervised, as a row by itself wants it."""
    supervised_T = sample.supervised_T.copy()
    supervised_T[0] = False
    return replace(sample, supervised_T=supervised_T)
