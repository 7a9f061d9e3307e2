"""Score requests in one line, and a math judge and a reward model that need neither process nor torch."""

from __future__ import annotations

from collections.abc import Sequence

from mimo_vl.answers.mathematics import MathVerdict, judge_cheaply
from mimo_vl.errors import InputError
from mimo_vl.rewards.router import RawScore
from mimo_vl.schema.reward import ChatMessage, ScoreRequest
from mimo_vl.vocabulary import RewardTask


def score_request(
    task: RewardTask, response: str, reference: str | None = None, *, request_id: str = "r0", question: str = "q"
) -> ScoreRequest:
    prompt = (ChatMessage(role="user", content=question),)
    return ScoreRequest(id=request_id, task=task, prompt=prompt, response=response, reference=reference)


class CheapMathJudge:
    """Cheap checks only; what they leave open gets `verdict_when_open`."""

    def __init__(self, verdict_when_open: MathVerdict = MathVerdict.WRONG) -> None:
        self.verdict_when_open = verdict_when_open

    def judge(self, gold: str, answer: str) -> MathVerdict:
        verdict = judge_cheaply(gold, answer)
        return self.verdict_when_open if verdict is None else verdict


class LengthScorer:
    """A reward model that likes long answers: score = number of characters."""

    version = "length-1"

    def raw_scores(self, requests: Sequence[ScoreRequest]) -> list[RawScore]:
        return [RawScore(float(len(r.response))) for r in requests]


class BrokenScorer:
    version = "broken"

    def raw_scores(self, requests: Sequence[ScoreRequest]) -> list[RawScore]:
        raise InputError(f"weights are gone, {len(requests)} requests")
