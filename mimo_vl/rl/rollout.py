"""How one batch is collected: synchronous waves of prompts until every family has its valid groups.

Wave w launches, per family, as many prompts as are expected to fill what is missing (deficit / share of valid groups so
far in this step). A group is valid if all its rewards are known and spread. The batch is, per family, the first valid
groups in launch order, so it is a function of prompt order, seeds and verdicts, never of durations. A group with an
unknown reward is scored once more, then dropped and counted. After `max_waves` a short batch is accepted.

Only launches up to the last selected one change the lasting state; what was launched beyond it is launched again in the
next step, under new weights.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mimo_vl.config.rl import RlConfig
from mimo_vl.rl.advantage import has_signal
from mimo_vl.rl.rollout_state import FamilyState, RolloutState, family_state_after
from mimo_vl.rl.task_mixture import Launch, family_quotas, launches
from mimo_vl.rl.weight_version import require_version
from mimo_vl.schema.reward import ScoreRequest, ScoreResult
from mimo_vl.schema.rollout import Completion, PromptRef, SamplingParams, ScoredGroup
from mimo_vl.vocabulary import RlFamily

logger = logging.getLogger(__name__)

# With fewer valid groups than one in three, a wave would grow beyond what the next waves can use.
MIN_VALID_SHARE = 1 / 3


class RolloutEngines(Protocol):
    """All engines as one: prompts are mapped to engines by their index in the call."""

    def generate(self, prompts: Sequence[PromptRef], params: SamplingParams) -> list[list[Completion]]: ...


class Scorer(Protocol):
    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]: ...


class PromptBook(Protocol):
    """The curated prompts of all families."""

    def num_items(self, family: RlFamily) -> int: ...

    def score_request(self, prompt: PromptRef, completion: Completion) -> ScoreRequest: ...


@dataclass
class FamilyTally:
    """What happened to a family's groups in one step."""

    quota: int = 0
    launched: list[tuple[Launch, ScoredGroup]] = field(default_factory=list)
    num_valid: int = 0
    num_without_signal: int = 0
    num_dropped: int = 0

    @property
    def deficit(self) -> int:
        return max(0, self.quota - self.num_valid)

    @property
    def next_wave(self) -> int:
        judged = len(self.launched)
        share = max(MIN_VALID_SHARE, self.num_valid / judged) if judged else 1.0
        return math.ceil(self.deficit / share)


@dataclass(frozen=True, kw_only=True)
class RolloutBatch:
    """`groups` are the selected ones, ordered by family, then launch. `state` is the lasting state after this step."""

    step: int
    groups: tuple[ScoredGroup, ...]
    state: RolloutState
    num_waves: int
    num_rescored: int
    tallies: Mapping[RlFamily, FamilyTally]


class RolloutCollector:
    """Collects the batch of each step. Holds no state of its own."""

    def __init__(
        self, config: RlConfig, *, engines: RolloutEngines, scorer: Scorer, prompts: PromptBook, seed: int
    ) -> None:
        self._config = config
        self._engines = engines
        self._scorer = scorer
        self._prompts = prompts
        self._seed = seed
        self._num_rescored = 0

    def collect(self, state: RolloutState, *, step: int, weight_version: int) -> RolloutBatch:
        """The batch of `step` under weights `weight_version`.

        Raises:
            WeightVersionError: a completion carries another version.
        """
        config = self._config
        self._num_rescored = 0
        quotas = family_quotas(step, config.prompts_per_step, config.family_weights)
        tallies = {family: FamilyTally(quota=quota) for family, quota in quotas.items() if quota}
        streams = {family: self._stream(state.families.get(family, FamilyState()), family, step) for family in tallies}
        num_waves = 0
        while num_waves < config.max_waves and any(t.deficit for t in tallies.values()):
            wave = [
                launch
                for family, tally in tallies.items()
                for launch in itertools.islice(streams[family], tally.next_wave)
            ]
            for launch, group in zip(wave, self._roll_out(wave, step, weight_version), strict=True):
                self._count(tallies[launch.family], launch, group)
            num_waves += 1
        missing = {str(family): t.deficit for family, t in tallies.items() if t.deficit}
        if missing:
            logger.warning("short batch step=%d waves=%d missing=%s", step, num_waves, missing)
        return self._select(state, step, num_waves, tallies)

    def _stream(self, state: FamilyState, family: RlFamily, step: int) -> Iterator[Launch]:
        return launches(
            seed=self._seed,
            step=step,
            family=family,
            num_items=self._prompts.num_items(family),
            position=state.position,
            pool=state.easy_pool,
            pool_share=self._config.easy_pool_probability,
        )

    def _roll_out(self, wave: Sequence[Launch], step: int, weight_version: int) -> list[ScoredGroup]:
        config = self._config
        refs = [PromptRef(family=launch.family, index=launch.prompt_index) for launch in wave]
        params = SamplingParams(
            temperature=config.temperature,
            top_p=config.top_p,
            max_new_tokens=config.max_new_tokens,
            num_samples=config.group_size,
            seed=self._seed,
            step=step,
        )
        groups = self._engines.generate(refs, params)
        require_version([c for group in groups for c in group], weight_version)
        results = self._score(refs, groups)
        return [
            ScoredGroup(
                step=step,
                prompt_id=group[0].prompt_id,
                prompt_index=ref.index,
                family=ref.family,
                completions=tuple(group),
                rewards=tuple(r.reward for r in scores),
                reward_names=tuple(r.reward_name for r in scores),
                statuses=tuple(r.status for r in scores),
            )
            for ref, group, scores in zip(refs, groups, results, strict=True)
        ]

    def _score(self, refs: Sequence[PromptRef], groups: Sequence[Sequence[Completion]]) -> list[list[ScoreResult]]:
        """Score all answers; groups with an unknown reward once more, as a whole."""
        requests = [
            [self._prompts.score_request(ref, completion) for completion in group]
            for ref, group in zip(refs, groups, strict=True)
        ]
        results = self._score_groups(requests)
        again = [i for i, scores in enumerate(results) if any(s.reward is None for s in scores)]
        if again:
            self._num_rescored += len(again)
            for i, scores in zip(again, self._score_groups([requests[i] for i in again]), strict=True):
                results[i] = scores
        return results

    def _score_groups(self, requests: Sequence[Sequence[ScoreRequest]]) -> list[list[ScoreResult]]:
        flat = iter(self._scorer.score([request for group in requests for request in group]))
        return [list(itertools.islice(flat, len(group))) for group in requests]

    def _count(self, tally: FamilyTally, launch: Launch, group: ScoredGroup) -> None:
        tally.launched.append((launch, group))
        rewards = [r for r in group.rewards if r is not None]
        if len(rewards) < len(group.rewards):
            tally.num_dropped += 1
        elif has_signal(rewards, self._config.min_group_std):
            tally.num_valid += 1
        else:
            tally.num_without_signal += 1

    def _select(
        self, state: RolloutState, step: int, num_waves: int, tallies: Mapping[RlFamily, FamilyTally]
    ) -> RolloutBatch:
        families = dict(state.families)
        selected: list[ScoredGroup] = []
        for family, tally in tallies.items():
            counted, groups = first_valid(tally, self._config.min_group_std)
            selected.extend(groups)
            families[family] = family_state_after(
                families.get(family, FamilyState()), counted, easy_reward=self._config.easy_reward
            )
        return RolloutBatch(
            step=step,
            groups=tuple(selected),
            state=RolloutState(families=families),
            num_waves=num_waves,
            num_rescored=self._num_rescored,
            tallies=tallies,
        )


def first_valid(tally: FamilyTally, min_std: float) -> tuple[list[tuple[Launch, ScoredGroup]], list[ScoredGroup]]:
    """The launches up to the last selected group (all of them if the quota is not met), and the selected groups."""
    selected: list[ScoredGroup] = []
    for index, (_, group) in enumerate(tally.launched):
        rewards = [r for r in group.rewards if r is not None]
        if len(rewards) == len(group.rewards) and has_signal(rewards, min_std):
            selected.append(group)
            if len(selected) == tally.quota:
                return tally.launched[: index + 1], selected
    return tally.launched, selected
