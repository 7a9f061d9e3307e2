"""Reward of counting: 1 if the number in the last box equals the reference, else 0 (report 3.1, exact match)."""

from __future__ import annotations

from mimo_vl.answers.numbers import extract_count, parse_number
from mimo_vl.rewards.verdict import RuleContext, Verdict, Verifier, invalid_reference, scored, unparsable
from mimo_vl.schema.reward import ScoreRequest


def verify(request: ScoreRequest, _context: RuleContext) -> Verdict:
    reference = parse_number(request.reference or "")
    truth = reference.as_integer if reference else None
    if truth is None:
        return invalid_reference(request, "a whole number")
    count = extract_count(request.response)
    if count.value is None:
        return unparsable(count)
    return scored(float(count.value == truth), predicted=float(count.value), true=float(truth))


VERIFIER = Verifier(name=lambda _config: "count_exact", version="1", verify=verify)
