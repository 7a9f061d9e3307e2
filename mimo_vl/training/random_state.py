"""Random states of this process as JSON: what a resumed run must continue with."""

from __future__ import annotations

import base64
import random
from typing import Any

import numpy as np
import torch


def capture_random_state() -> dict[str, Any]:
    """States of python, numpy, torch and every GPU of this process."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(internal), gauss],
        "numpy": [str(name), np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
        "torch": _encode(torch.get_rng_state()),
        "cuda": [_encode(state) for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(_decode(state["torch"]))
    if state["cuda"]:
        torch.cuda.set_rng_state_all([_decode(item) for item in state["cuda"]])


def seed_everything(seed: int, rank: int) -> None:
    """A fresh start, or a resume at another number of ranks: each rank draws from its own stream."""
    value = (seed * 1_000_003 + rank) % 2**32
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


def _encode(state: torch.Tensor) -> str:
    return base64.b64encode(bytes(state.numpy().tobytes())).decode()


def _decode(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
