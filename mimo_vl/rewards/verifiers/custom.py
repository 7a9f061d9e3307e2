"""The user's own verifier: found by its path, checked, and kept from ending a run by what it raises."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import logging
import math
from collections.abc import Callable
from types import ModuleType

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.errors import ConfigError
from mimo_vl.rewards.verdict import RuleContext, Verdict, Verifier
from mimo_vl.schema.reward import ScoreRequest, ScoreStatus

logger = logging.getLogger(__name__)

_FIELD = "rewards.custom_verifier"
_JUDGED = (ScoreStatus.SCORED, ScoreStatus.UNPARSABLE)
Verify = Callable[[ScoreRequest, RuleContext], Verdict]


def load_custom_verifier(config: RewardsConfig) -> Verifier | None:
    """The Verifier that `rewards.custom_verifier` names; None where it is empty.

    Raises:
        ConfigError: it cannot be imported, is no Verifier, or is another version than the configuration states.
    """
    path = config.custom_verifier
    if not path:
        return None
    module_name, _, name = path.partition(":")
    found = getattr(_imported(module_name, path), name, None)
    if not isinstance(found, Verifier):
        raise ConfigError(
            f"{_FIELD}: {path!r} is {type(found).__name__}, wanted a Verifier (mimo_vl.rewards.verdict)"
            f"{_near(name, module_name)}"
        )
    if found.version != config.custom_verifier_version:
        raise ConfigError(
            f"{_FIELD}_version: got {config.custom_verifier_version!r}, but {path} is version {found.version!r}; "
            "state the version that is meant, or install it"
        )
    return dataclasses.replace(found, verify=_guarded(path, found.verify))


def _imported(module_name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    # A module of the user's may raise anything while it is imported.
    except Exception as error:
        raise ConfigError(
            f"{_FIELD}: {path!r}: module {module_name} cannot be imported ({type(error).__name__}: {error}); install "
            "its package where the rules run, or put its folder on PYTHONPATH"
        ) from error


def _near(name: str, module_name: str) -> str:
    known = [key for key, value in vars(importlib.import_module(module_name)).items() if isinstance(value, Verifier)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
    return f"; {module_name} has {', '.join(near)}" if near else f"; {module_name} has none"


def _guarded(path: str, verify: Verify) -> Verify:
    """The same verdicts; what is raised or out of range becomes a null reward that is counted by its status."""

    def judge(request: ScoreRequest, context: RuleContext) -> Verdict:
        try:
            verdict = verify(request, context)
            problem = _problem(verdict)
        # The user's code meets completions that nobody foresaw; one of them must not end the run.
        except Exception as error:
            logger.warning("%s raised on request %s", path, request.id, exc_info=True)
            problem = f"raised {type(error).__name__}: {error}"
        if problem:
            return Verdict(status=ScoreStatus.VERIFIER_ERROR, reward=None, reason=f"{path} {problem}"[:500])
        return verdict

    return judge


def _problem(verdict: object) -> str:
    if not isinstance(verdict, Verdict):
        return f"returned {type(verdict).__name__}, wanted a Verdict"
    if (verdict.reward is not None) != (verdict.status in _JUDGED):
        return f"returned reward {verdict.reward} with status {verdict.status}"
    if verdict.reward is not None and not (math.isfinite(verdict.reward) and 0.0 <= verdict.reward <= 1.0):
        return f"returned reward {verdict.reward}, wanted 0 to 1"
    return ""
