"""What is read from the environment: the device that DeepSpeed was told to work on."""

from __future__ import annotations

import os

ACCELERATOR_VARIABLE = "DS_ACCELERATOR"


def accelerator() -> str:
    """Empty: DeepSpeed takes a GPU where it sees one."""
    return os.environ.get(ACCELERATOR_VARIABLE, "")
