"""The user's own verifier: how it is found, how a wrong one is refused, and that it cannot end a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.errors import ConfigError
from mimo_vl.rewards.router import RuleRouter
from mimo_vl.rewards.verifiers.custom import load_custom_verifier
from mimo_vl.schema.reward import ScoreResult, ScoreStatus
from mimo_vl.vocabulary import RewardTask
from tests.fakes.own_verifiers import rewards_with
from tests.fakes.rewards import CheapMathJudge, score_request


def _score(config: RewardsConfig, response: str, reference: str | None = "1234") -> ScoreResult:
    return RuleRouter(config, CheapMathJudge()).score(score_request(RewardTask.CUSTOM, response, reference))


def test_the_own_verifier_judges_custom_prompts_and_its_name_and_version_are_recorded() -> None:
    result = _score(rewards_with("SHARE", "3"), "1299")
    assert (result.reward, result.status) == (0.5, ScoreStatus.SCORED)
    assert (result.reward_name, result.version) == ("share", "3")


def test_the_service_states_its_version() -> None:
    router = RuleRouter(rewards_with("SHARE", "3"), CheapMathJudge())
    assert router.versions()[RewardTask.CUSTOM] == "share/3"


def test_without_one_a_custom_prompt_is_unavailable() -> None:
    result = _score(RewardsConfig(), "1")
    assert (result.reward, result.status) == (None, ScoreStatus.UNAVAILABLE)
    assert result.reason == "no verifier for task custom; name it in rewards.custom_verifier"


def test_what_it_raises_on_one_completion_is_a_null_reward_with_the_reason() -> None:
    config = rewards_with("SHARE", "3")
    result = _score(config, "boom")
    assert (result.reward, result.status) == (None, ScoreStatus.VERIFIER_ERROR)
    assert result.reason == "tests.fakes.own_verifiers:SHARE raised KeyError: 'boom'"
    assert (result.reward_name, result.version) == ("share", "3")
    assert _score(config, "1234").reward == 1.0


def test_its_own_statuses_pass() -> None:
    assert _score(rewards_with("SHARE", "3"), "1", None).status is ScoreStatus.INVALID_REFERENCE


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("1.5", "returned reward 1.5, wanted 0 to 1"),
        ("nan", "returned reward nan, wanted 0 to 1"),
        ("-0.1", "returned reward -0.1, wanted 0 to 1"),
        ("no verdict", "returned float, wanted a Verdict"),
        ("no reward", "returned reward None with status scored"),
    ],
)
def test_what_is_no_reward_is_null(response: str, reason: str) -> None:
    result = _score(rewards_with("WRONG", "1"), response)
    assert (result.reward, result.status) == (None, ScoreStatus.VERIFIER_ERROR)
    assert result.reason == f"tests.fakes.own_verifiers:WRONG {reason}"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "no_such_package.rules:RULE",
            r"module no_such_package\.rules cannot be imported \(ModuleNotFoundError: .*PYTHONPATH",
        ),
        ("tests.fakes.own_verifiers:SHAR", r"is NoneType, wanted a Verifier .*; tests\.fakes\.own_verifiers has SHARE"),
        ("tests.fakes.own_verifiers:NOT_A_VERIFIER", r"is str, wanted a Verifier"),
        ("tests.fakes.own_verifiers:SHARE", r"custom_verifier_version: got '1', but .*:SHARE is version '3'"),
    ],
)
def test_a_wrong_path_object_or_version_is_a_config_error(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_custom_verifier(RewardsConfig(custom_verifier=path, custom_verifier_version="1"))


def test_a_module_that_raises_at_import_is_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_broken_rule.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"own_broken_rule cannot be imported \(ZeroDivisionError: division by zero\)"
    ):
        load_custom_verifier(RewardsConfig(custom_verifier="own_broken_rule:RULE", custom_verifier_version="1"))
    assert "own_broken_rule" not in sys.modules
