"""Two updates on one rollout batch: the second one meets weights that did not sample it, so its ratios are clipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mimo_vl.inference.load import load_engine
from mimo_vl.rl.losses.tokens import AnswerTokens, PolicyLoss
from mimo_vl.rl.losses.vanilla_grpo import vanilla_grpo
from mimo_vl.rl.trainer_worker import build_trainer_worker
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.rollout import PromptRef, SamplingParams, ScoredGroup
from mimo_vl.training.world import World
from mimo_vl.vocabulary import RlFamily
from tests.fakes.rl_world import build_rl_world

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

FAMILY = RlFamily.PREFERENCE_TEXT
CLIP_LOW, CLIP_HIGH = 0.01, 0.02
NUM_GROUPS, NUM_UPDATES, NUM_MICRO_BATCHES = 4, 2, 2


@pytest.fixture(autouse=True)
def one_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def _sampled(settings: WorkerSettings, policy: Path) -> tuple[ScoredGroup, ...]:
    """Groups of two answers that the policy gave, one of them good, with their log-probs at that time."""
    encoder = settings.build_encoder()
    prompts = settings.build_prompts(encoder)
    encoded = [prompts.encoded(PromptRef(family=FAMILY, index=i)) for i in range(NUM_GROUPS)]
    params = SamplingParams(temperature=settings.rl.temperature, max_new_tokens=8, num_samples=2, seed=0)
    answers = load_engine(policy, encoder).generate(encoded, params)
    return tuple(
        ScoredGroup(
            step=0,
            prompt_id=prompt.id,
            prompt_index=index,
            family=FAMILY,
            completions=tuple(group),
            rewards=(1.0, 0.0),
        )
        for index, (prompt, group) in enumerate(zip(encoded, answers, strict=True))
    )


def _recording(loss: PolicyLoss, seen: list[tuple[AnswerTokens, float]]) -> PolicyLoss:
    def recorded(tokens: AnswerTokens) -> torch.Tensor:
        value = loss(tokens)
        seen.append((replace(tokens, logp_N=tokens.logp_N.detach()), float(value.detach())))
        return value

    return recorded


def _ratios(seen: list[tuple[AnswerTokens, float]]) -> torch.Tensor:
    return torch.cat([torch.exp(t.logp_N - t.rollout_logp_N)[t.weight_N > 0] for t, _ in seen])


def test_the_second_update_clips_ratios_that_the_first_one_moved(tmp_path: Path) -> None:
    world = build_rl_world(tmp_path / "world")
    settings = world.settings(tmp_path / "out", tmp_path, 1)
    rl = replace(
        settings.rl,
        loss="vanilla_grpo",
        updates_per_rollout=NUM_UPDATES,
        clip_low=CLIP_LOW,
        clip_high=CLIP_HIGH,
        num_micro_batches=NUM_MICRO_BATCHES,
    )
    settings = replace(settings, rl=rl)
    groups = _sampled(settings, world.root / "policy" / "model")
    worker = build_trainer_worker(settings, None, World())
    seen: list[tuple[AnswerTokens, float]] = []
    worker._trainer._engine.module._loss = _recording(vanilla_grpo(CLIP_LOW, CLIP_HIGH), seen)
    metrics = worker.update(groups, 0)

    # Half of the groups each, in two micro-batches.
    assert len(seen) == NUM_UPDATES * NUM_MICRO_BATCHES
    first, second = seen[:NUM_MICRO_BATCHES], seen[NUM_MICRO_BATCHES:]
    torch.testing.assert_close(_ratios(first), torch.ones(len(_ratios(first))), atol=1e-4, rtol=0.0)
    ratios = _ratios(second)
    is_clipped = (ratios < 1 - CLIP_LOW) | (ratios > 1 + CLIP_HIGH)
    assert is_clipped.any()

    # By hand: where the advantage is positive, a ratio above counts as 1 + clip_high; where negative, below as 1 - low.
    by_hand = 0.0
    for tokens, _ in second:
        for logp, old, advantage, weight in zip(
            tokens.logp_N.tolist(),
            tokens.rollout_logp_N.tolist(),
            tokens.advantage_N.tolist(),
            tokens.weight_N.tolist(),
            strict=True,
        ):
            ratio = torch.exp(torch.tensor(logp - old)).item()
            capped = min(ratio, 1 + CLIP_HIGH) if advantage > 0 else max(ratio, 1 - CLIP_LOW)
            by_hand -= weight * advantage * capped
    assert sum(value for _, value in second) == pytest.approx(by_hand, abs=1e-5)

    # One version per rollout batch, whatever the updates; trainer and engine are compared before the first one.
    assert worker._trainer.version == 1
    assert metrics.loss == pytest.approx(sum(value for _, value in seen) / NUM_UPDATES, abs=1e-6)
    assert metrics.mismatch_max < 1e-3
    assert metrics.num_answer_tokens == sum(len(c.token_ids) for g in groups for c in g.completions)
