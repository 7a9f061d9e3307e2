"""Reward of visual and text reasoning: 1 if the final answer equals the reference, else 0 (report 3.1, Math-Verify)."""

from __future__ import annotations

from mimo_vl.answers.extraction import extract_final
from mimo_vl.answers.mathematics import MathVerdict
from mimo_vl.rewards.verdict import RuleContext, Verdict, Verifier, invalid_reference, scored, unparsable
from mimo_vl.schema.reward import ScoreRequest, ScoreStatus


def verify(request: ScoreRequest, context: RuleContext) -> Verdict:
    """Unparsable (0) also for answers that a guard refuses, such as huge powers; a time-out is no verdict."""
    if not (request.reference or "").strip():
        return invalid_reference(request, "LaTeX or a plain answer")
    answer = extract_final(request.response)
    if answer.value is None:
        return unparsable(answer)
    verdict = context.math.judge(str(request.reference), answer.value)
    if verdict is MathVerdict.TIMEOUT:
        return Verdict(status=ScoreStatus.TIMEOUT, reward=None, reason=f"{answer.value[:60]!r} was not decided in time")
    if verdict is MathVerdict.UNPARSABLE_GOLD:
        return invalid_reference(request, "an answer that can be parsed")
    if verdict is MathVerdict.UNPARSABLE_ANSWER:
        reason = f"{answer.value[:60]!r} is refused or cannot be parsed"
        return Verdict(status=ScoreStatus.UNPARSABLE, reward=0.0, reason=reason)
    return scored(float(verdict is MathVerdict.CORRECT), correct=float(verdict is MathVerdict.CORRECT))


VERIFIER = Verifier(name=lambda _config: "math_verify", version="1", verify=verify)
