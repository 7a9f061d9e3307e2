"""Small builders and fakes: completions, groups, engines that answer by rule, scorers that judge by text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mimo_vl.config.rl import RlConfig
from mimo_vl.schema.reward import ScoreRequest, ScoreResult, ScoreStatus
from mimo_vl.schema.rollout import Completion, PromptRef, SamplingParams, ScoredGroup
from mimo_vl.vocabulary import RewardTask, RlFamily

COUNTING, GROUNDING = RlFamily.COUNTING, RlFamily.GROUNDING


def completion(text: str = "3", *, prompt_id: str = "p", index: int = 0, version: int = 0) -> Completion:
    return Completion(
        prompt_id=prompt_id,
        sample_index=index,
        token_ids=(1, 2),
        logprobs=(-0.5, -0.1),
        text=text,
        finish_reason="stop",
        weight_version=version,
    )


def group(
    rewards: Sequence[float | None], *, index: int = 0, family: RlFamily = COUNTING, version: int = 0
) -> ScoredGroup:
    name = f"{family}-{index}"
    return ScoredGroup(
        step=0,
        prompt_id=name,
        prompt_index=index,
        family=family,
        completions=tuple(completion(prompt_id=name, index=i, version=version) for i in range(len(rewards))),
        rewards=tuple(rewards),
    )


def config(**values: object) -> RlConfig:
    defaults: dict[str, object] = {
        "family_weights": {COUNTING: 1.0},
        "prompts_per_step": 4,
        "group_size": 2,
        "easy_pool_probability": 0.0,
    }
    return RlConfig(**{**defaults, **values})  # type: ignore[arg-type]


# What a prompt of index i yields: the rewards of its group; None = could not be judged.
Verdicts = Callable[[int], Sequence[float | None]]


class FakeEngines:
    """Writes the sample's number as answer, with the weight version it was told."""

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self.waves: list[list[int]] = []

    def generate(self, prompts: Sequence[PromptRef], params: SamplingParams) -> list[list[Completion]]:
        self.waves.append([p.index for p in prompts])
        return [
            [
                completion(f"{p.index}", prompt_id=f"{p.family}-{p.index}", index=i, version=self.version)
                for i in range(params.num_samples)
            ]
            for p in prompts
        ]


class FakeBook:
    def __init__(self, num_items: int = 100) -> None:
        self._num_items = num_items

    def num_items(self, family: RlFamily) -> int:
        return self._num_items

    def score_request(self, prompt: PromptRef, completion: Completion) -> ScoreRequest:
        return ScoreRequest(
            id=f"{prompt.family}/{prompt.index}/{completion.sample_index}",
            task=RewardTask.COUNTING,
            prompt=(),
            response=completion.text,
        )


class FakeScorer:
    """Rewards by prompt index. `fails_once` prompts cannot be judged the first time."""

    def __init__(self, verdicts: Verdicts, fails_once: Sequence[int] = ()) -> None:
        self._verdicts = verdicts
        self._failing = set(fails_once)
        self.calls: list[int] = []

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        self.calls.append(len(requests))
        failing = {int(r.response) for r in requests} & self._failing
        self._failing -= failing
        return [self._result(request, failing) for request in requests]

    def _result(self, request: ScoreRequest, failing: set[int]) -> ScoreResult:
        index, sample = int(request.response), int(request.id.rsplit("/", 1)[1])
        reward = None if index in failing else self._verdicts(index)[sample]
        status = ScoreStatus.TIMEOUT if reward is None else ScoreStatus.SCORED
        return ScoreResult(id=request.id, reward=reward, status=status, reward_name="fake", version="1")
