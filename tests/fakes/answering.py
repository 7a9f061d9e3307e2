"""A model under test that answers from a table, so that evaluation runs without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mimo_vl.evaluation.infer import ModelUnderTest, TextNats
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.schema.rollout import Completion, SamplingParams
from mimo_vl.schema.sample import Sample

Answer = Callable[[str, int], str]


class FakeEncoder:
    """Every sample becomes two tokens; only the id matters."""

    def encode(self, sample: Sample, media: Sequence[bytes]) -> EncodedSample:
        return EncodedSample(
            id=sample.id,
            data_type=sample.data_type.value,
            input_ids_T=np.array([0, 1], np.int64),
            supervised_T=np.array([False, True]),
            mm_types_T=np.zeros(2, np.int64),
            positions_3T=np.zeros((3, 2), np.int64),
            patches_PC=np.zeros((0, 1176), np.float32),
            grid_thw_N3=np.zeros((0, 3), np.int64),
        )

    encode_prompt = encode


class FakeEngine:
    """`answer(item id, sample index)` is the completion; records what it was asked; ids in `broken` raise."""

    def __init__(self, answer: Answer, broken: frozenset[str] = frozenset()) -> None:
        self.answer = answer
        self.broken = broken
        self.batches: list[list[str]] = []
        self.params: list[SamplingParams] = []

    def generate(self, prompts: Sequence[EncodedSample], params: SamplingParams) -> list[list[Completion]]:
        ids = [p.id for p in prompts]
        self.batches.append(ids)
        self.params.append(params)
        if self.broken & set(ids):
            raise RuntimeError(f"cannot answer {sorted(self.broken & set(ids))}")
        return [[self._completion(i, g) for g in range(params.num_samples)] for i in ids]

    def _completion(self, item_id: str, sample_index: int) -> Completion:
        text = self.answer(item_id, sample_index)
        return Completion(
            prompt_id=item_id,
            sample_index=sample_index,
            token_ids=tuple(range(len(text))),
            logprobs=(0.0,) * len(text),
            text=text,
            finish_reason="stop",
            weight_version=0,
        )


def fake_model(
    answer: Answer,
    *,
    name: str = "sft",
    digest: str = "sha256:a",
    broken: frozenset[str] = frozenset(),
    nats: float = 2.0,
) -> ModelUnderTest:
    """Every text costs `nats` for one token."""
    return ModelUnderTest(
        name=name,
        digest=digest,
        generator=FakeEngine(answer, broken),
        encoder=FakeEncoder(),
        text_nats=lambda encoded: [TextNats(nats=nats, num_tokens=1) for _ in encoded],
    )
