"""Verifiers as users write them, found by their path: `tests.fakes.own_verifiers:NAME`."""

from __future__ import annotations

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.verdict import RuleContext, Verdict, Verifier, invalid_reference, scored
from mimo_vl.schema.reward import ScoreRequest, ScoreStatus


def _share(request: ScoreRequest, _context: RuleContext) -> Verdict:
    """Share of right characters; a response `boom` raises, as a bug would."""
    if request.response == "boom":
        raise KeyError("boom")
    if not request.reference:
        return invalid_reference(request, "text")
    return scored(
        sum(a == b for a, b in zip(request.reference, request.response, strict=False)) / len(request.reference)
    )


def _wrong(request: ScoreRequest, _context: RuleContext) -> Verdict:
    if request.response == "no verdict":
        return 1.0  # type: ignore[return-value]
    if request.response == "no reward":
        return Verdict(status=ScoreStatus.SCORED, reward=None)
    return scored(float(request.response))


SHARE = Verifier(name=lambda _config: "share", version="3", verify=_share)
WRONG = Verifier(name=lambda _config: "wrong", version="1", verify=_wrong)
NOT_A_VERIFIER = "share"


def rewards_with(name: str, version: str) -> RewardsConfig:
    return RewardsConfig(custom_verifier=f"tests.fakes.own_verifiers:{name}", custom_verifier_version=version)
