"""How one dataset is made: which generators, for which split, in which form, through which steps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Set
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mimo_vl.data.filters.answers import judge_answer
from mimo_vl.data.filters.duplicates import new_duplicate_judge
from mimo_vl.data.filters.media import judge_media
from mimo_vl.data.record import Record
from mimo_vl.data.step import Step, filter_step
from mimo_vl.data.synthesis.catalogue import Blend
from mimo_vl.data.synthesis.draft import to_prompt, to_training
from mimo_vl.data.synthesis.studio import Studio
from mimo_vl.vocabulary import Language, Split

# A shard gives up after this many candidates per wanted record: the generators cannot make that many distinct ones.
_MAX_CANDIDATES_PER_RECORD = 20


class Form(StrEnum):
    """`training`: question and answer. `prompt`: the question, with its reference; documents stay whole."""

    TRAINING = "training"
    PROMPT = "prompt"


def quality_steps(known: Set[str] = frozenset()) -> tuple[Step, ...]:
    """Fresh filters for one shard, cheapest first. `known`: digests of records that would be duplicates."""
    return (filter_step(new_duplicate_judge(known)), filter_step(judge_answer), filter_step(judge_media))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """`stream` names the random stream: recipes with the same stream and split make the same records."""

    name: str
    stream: str
    split: Split
    form: Form
    blend: Blend
    num_samples: int

    def candidates(self, studio: Studio, *, seed: int, shard: int, size: int) -> Iterator[Record]:
        """Records of one shard, without end but bounded; candidate k is a function of (seed, stream, shard, k)."""
        shares = np.array([share for _, share in self.blend])
        edges = np.cumsum(shares) / shares.sum()
        stream = int.from_bytes(hashlib.sha256(self.stream.encode()).digest()[:8], "big")
        convert = to_training if self.form is Form.TRAINING else to_prompt
        for k in range(size * _MAX_CANDIDATES_PER_RECORD):
            rng = np.random.default_rng([seed, stream, shard, k])
            make = self.blend[int(np.searchsorted(edges, rng.random(), side="right"))][0]
            language = Language.EN if rng.random() < 0.5 else Language.ZH
            draft = make(studio, rng, language)
            yield convert(draft, sample_id=f"{self.stream}-{shard:03d}-{k:05d}", split=self.split)
