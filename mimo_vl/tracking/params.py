"""A nested configuration as flat parameters, which MLflow shows and compares: `stages.x.num_steps` -> "40"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Names joined by dots; lists, numbers, truth values and null as JSON, texts as they are."""
    if isinstance(value, Mapping):
        flat: dict[str, str] = {}
        for key, part in value.items():
            flat |= flatten(part, f"{prefix}.{key}" if prefix else str(key))
        return flat
    return {prefix: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}
