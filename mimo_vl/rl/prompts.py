"""Prompts by name: (family, index) -> encoded for an engine, with an answer for the trainer, as a score request.

Every process opens the curated datasets itself, so messages carry names and no pixels.
"""

from __future__ import annotations

import functools
from pathlib import Path

from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.errors import InputError
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.rewards.media import MediaFolder
from mimo_vl.rewards.requests import score_request
from mimo_vl.schema.reward import ScoreRequest
from mimo_vl.schema.rollout import Completion, PromptRef
from mimo_vl.schema.sample import Sample
from mimo_vl.vocabulary import RlFamily

# Prompts of a few steps: the trainer asks for each answer of a group, waves ask again for pool prompts.
_CACHE_SIZE = 256


def dataset_name(family: RlFamily) -> str:
    return f"rl-{family}"


def write_media(datasets_dir: Path, family: RlFamily, folder: MediaFolder) -> None:
    """Put the media of a family where the reward models look for them."""
    dataset = IndexedDataset(datasets_dir / dataset_name(family))
    for index in range(len(dataset)):
        folder.add(dataset[index].media)


class PromptLibrary:
    """The curated prompts of some families."""

    def __init__(self, datasets_dir: Path, families: tuple[RlFamily, ...], encoder: SampleEncoder) -> None:
        """Raises InputError for a family without prompts."""
        self._datasets = {family: IndexedDataset(datasets_dir / dataset_name(family)) for family in families}
        empty = sorted(family for family, dataset in self._datasets.items() if not len(dataset))
        if empty:
            raise InputError(
                f"no prompt left for families {empty}; set rl.family_weights.<family>=0, or curate more prompts "
                "(data.synthesis.rl_prompts_per_family)"
            )
        self._encoder = encoder
        self._encoded = functools.lru_cache(maxsize=_CACHE_SIZE)(self._encode)
        self._sample = functools.lru_cache(maxsize=_CACHE_SIZE)(self._read_sample)

    def num_items(self, family: RlFamily) -> int:
        return len(self._datasets[family])

    def encoded(self, prompt: PromptRef) -> EncodedSample:
        return self._encoded(prompt.family, prompt.index)

    def encoded_answer(self, prompt: PromptRef, completion: Completion) -> EncodedSample:
        """Prompt and answer, the answer supervised."""
        return self._encoder.encode_completion(self.encoded(prompt), completion.token_ids)

    def score_request(self, prompt: PromptRef, completion: Completion) -> ScoreRequest:
        sample = self._sample(prompt.family, prompt.index)
        return score_request(
            sample,
            completion.text,
            request_id=f"{prompt.family}/{prompt.index}/{completion.sample_index}",
            seen_sizes=[self._encoder.resized_size(m) for m in sample.media],
        )

    def _encode(self, family: RlFamily, index: int) -> EncodedSample:
        record = self._datasets[family][index]
        return self._encoder.encode_prompt(record.sample, record.media)

    def _read_sample(self, family: RlFamily, index: int) -> Sample:
        return self._datasets[family].sample(index)
