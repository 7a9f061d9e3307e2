"""What rollout and evaluation ask of any inference engine: groups of completions, and new weights with a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.schema.rollout import Completion, SamplingParams


class Engine(Protocol):
    @property
    def weight_version(self) -> int:
        """Version of the weights that produce the next token."""

    def generate(self, prompts: Sequence[EncodedSample], params: SamplingParams) -> list[list[Completion]]:
        """`params.num_samples` completions per prompt, in the order of `prompts`, then by sample index.

        A sample is a function of (weights, seed, step, prompt id, sample index) up to float noise: the rest of the
        batch does not matter. All completions of one call carry the same weight version.
        """

    def load_weights(self, state: Mapping[str, torch.Tensor], version: int) -> None:
        """Replace all weights.

        Raises:
            WeightVersionError: `version` is not newer than the loaded one.
        """


class TextDecoder(Protocol):
    """The part of the sample encoder that an engine needs."""

    def decode(self, token_ids: Sequence[int]) -> str: ...
