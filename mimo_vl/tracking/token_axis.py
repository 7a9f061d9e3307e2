"""Curves by tokens: MLflow has one step axis, so curves that people compare by tokens are sent a second time.

`loss` at step 40 with 61 340 tokens so far is also `loss_by_tokens` at step 61340. The journal has it once.
"""

from __future__ import annotations

from collections.abc import Mapping

from mimo_vl.observability import metrics as names

SUFFIX = "_by_tokens"
# Losses of pre-training and of reward models, rewards of RL; the same with a data type or family behind them.
_CURVES = ("loss", names.LOSS.name, names.HELDOUT_LOSS.name, names.REWARD.name)
_PREFIXES = ("loss_", names.LOSS_BY_TYPE.of(""), names.REWARD_BY_FAMILY.of(""))


def by_tokens(values: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Of the values of one step: the copies, and their place, which is that of `train/tokens`; nothing without it."""
    tokens = values.get(names.TOKENS.name)
    if tokens is None:
        return {}, 0
    return {_copy(name): value for name, value in values.items() if _is_curve(name)}, int(float(tokens))


def _is_curve(name: str) -> bool:
    return name in _CURVES or name.startswith(_PREFIXES)


def _copy(name: str) -> str:
    """The suffix goes to the metric, not to its data type: train/loss_by_type_by_tokens/ocr."""
    head, _, part = name.rpartition("/")
    for prefix in (names.LOSS_BY_TYPE.name, names.REWARD_BY_FAMILY.name):
        if head == prefix:
            return f"{prefix}{SUFFIX}/{part}"
    return name + SUFFIX
