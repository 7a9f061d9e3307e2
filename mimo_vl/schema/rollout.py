"""What goes into an inference engine and what comes out: sampling parameters, completions, scored groups."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mimo_vl.schema.record import Record
from mimo_vl.vocabulary import RlFamily


class SamplingParams(Record):
    """temperature 0 = greedy. `seed` and `step` enter the random state of each (step, prompt id, sample index)."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 64
    num_samples: int = 1
    seed: int = 0
    step: int = 0
    stop_token_ids: tuple[int, ...] = ()


class Completion(Record):
    """One sampled answer. `logprobs[i]` belongs to `token_ids[i]`, as sampled from; the end token is included."""

    prompt_id: str
    sample_index: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish_reason: Literal["stop", "length"]
    weight_version: int


class PromptRef(Record):
    """A prompt by name: item `index` of dataset `rl-<family>`. Pixels are read where they are used, never sent."""

    family: RlFamily
    index: int


class ScoredGroup(Record):
    """G completions of one prompt with their rewards in [0, 1] (None = could not be judged)."""

    step: int
    prompt_id: str
    prompt_index: int
    family: RlFamily
    completions: tuple[Completion, ...]
    rewards: tuple[float | None, ...]
    reward_names: tuple[str, ...] = ()
    statuses: tuple[str, ...] = Field(default=())
