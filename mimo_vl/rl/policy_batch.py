"""How do scored groups become packed rows with an advantage and a weight per answer token?

The normalisers belong to complete groups and to the complete update, so they are fixed here, before anything is split
over mini-batches, ranks and micro-batches. Answers of a group that meet in a row share their prompt in it.

Shapes: N answer tokens of a row.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mimo_vl.model.packed import RowTensors, row_tensors
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.processing.shared_prompts import pack_answers
from mimo_vl.rl.advantage import TokenNormalisation, group_advantages, token_weights
from mimo_vl.rl.losses.tokens import AnswerTokens
from mimo_vl.schema.rollout import Completion, PromptRef, ScoredGroup


@dataclass(frozen=True, kw_only=True)
class PolicySample:
    """One answer: the tokens to train, what it is worth, what each of its tokens counts. `group`: its number."""

    group: int
    encoded: EncodedSample
    rollout_logprobs: tuple[float, ...]
    advantage: float
    token_weight: float


@dataclass(frozen=True, kw_only=True)
class PolicyRow:
    """A packed row of answers; `advantage_N`, `weight_N`, `rollout_logp_N` follow its supervised tokens in order."""

    rows: RowTensors
    advantage_N: torch.Tensor
    weight_N: torch.Tensor
    rollout_logp_N: torch.Tensor
    sample_ids: tuple[str, ...]

    def answer_tokens(self, logp_N: torch.Tensor) -> AnswerTokens:
        return AnswerTokens(
            logp_N=logp_N,
            rollout_logp_N=self.rollout_logp_N,
            advantage_N=self.advantage_N,
            weight_N=self.weight_N,
        )


EncodeAnswer = Callable[[PromptRef, Completion], EncodedSample]


def policy_samples(
    groups: Sequence[ScoredGroup], encode: EncodeAnswer, normalisation: TokenNormalisation
) -> list[PolicySample]:
    """All answers of an update's groups, in order.

    Raises:
        ValueError: a group with an unknown reward; it should have been dropped.
    """
    lengths = [[len(c.token_ids) for c in group.completions] for group in groups]
    samples: list[PolicySample] = []
    for number, (group, weight) in enumerate(zip(groups, token_weights(lengths, normalisation), strict=True)):
        rewards = [r for r in group.rewards if r is not None]
        if len(rewards) != len(group.completions):
            raise ValueError(
                f"group {group.prompt_id} has {len(rewards)} rewards for {len(group.completions)} completions; "
                "drop a group whose answers could not all be judged"
            )
        ref = PromptRef(family=group.family, index=group.prompt_index)
        samples.extend(
            PolicySample(
                group=number,
                encoded=encode(ref, completion),
                rollout_logprobs=completion.logprobs,
                advantage=advantage,
                token_weight=weight,
            )
            for completion, advantage in zip(group.completions, group_advantages(rewards), strict=True)
        )
    return samples


def split_evenly(sizes: Sequence[int], num_parts: int) -> list[list[int]]:
    """Cut 0..n-1 into `num_parts` contiguous runs of about equal total size; a run may be empty.

    Item i goes to the part in which the middle of its interval on the line of cumulative sizes lies.
    """
    total = sum(sizes)
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    start = 0
    for index, size in enumerate(sizes):
        parts[min(num_parts - 1, (2 * start + size) * num_parts // (2 * total))].append(index)
        start += size
    return parts


def policy_rows(samples: Sequence[PolicySample], num_rows: int, device: torch.device | str) -> list[PolicyRow]:
    """Exactly `num_rows` rows, equally many forwards for all ranks; an empty one repeats a sample at weight 0.

    Groups stay whole where there are enough of them: each row repeats the prompts of its answers.
    """
    units = [list(indices) for _, indices in itertools.groupby(range(len(samples)), lambda i: samples[i].group)]
    if len(units) < num_rows:
        units = [[i] for i in range(len(samples))]
    sizes = [_num_row_tokens([samples[i] for i in unit]) for unit in units]
    parts = [[i for unit in part for i in units[unit]] for part in split_evenly(sizes, num_rows)]
    return [_row([samples[i] for i in part], device) if part else _row([_muted(samples[0])], device) for part in parts]


def _num_row_tokens(unit: Sequence[PolicySample]) -> int:
    """Of answers to one prompt that stand behind it together."""
    num_prompt_tokens = unit[0].encoded.num_tokens - len(unit[0].rollout_logprobs)
    return num_prompt_tokens + sum(len(sample.rollout_logprobs) for sample in unit)


def _muted(sample: PolicySample) -> PolicySample:
    return replace(sample, advantage=0.0, token_weight=0.0)


def _row(samples: Sequence[PolicySample], device: torch.device | str) -> PolicyRow:
    counts = [len(s.rollout_logprobs) for s in samples]

    def per_token(values: Sequence[float]) -> torch.Tensor:
        return torch.from_numpy(np.repeat(np.asarray(values, dtype=np.float32), counts)).to(device)

    row = PolicyRow(
        rows=row_tensors(pack_answers([s.encoded for s in samples]), device),
        advantage_N=per_token([s.advantage for s in samples]),
        weight_N=per_token([s.token_weight for s in samples]),
        rollout_logp_N=torch.tensor([p for s in samples for p in s.rollout_logprobs], dtype=torch.float32).to(device),
        sample_ids=tuple(s.encoded.id for s in samples),
    )
    if len(row.rollout_logp_N) != len(row.rows.targets_N):
        raise ValueError(
            f"{len(row.rollout_logp_N)} rollout log-probs but {len(row.rows.targets_N)} answer tokens in the row of "
            f"{row.sample_ids[0]}; encode the completion's own token ids"
        )
    return row
