"""Our models load also where transformers was loaded before, with all that it found installed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.timeout(120)
@pytest.mark.parametrize("before", ["import transformers.vision_utils", "from transformers import PreTrainedModel"])
def test_models_load_after_transformers_was_loaded_by_others(before: str) -> None:
    code = f"{before}; import mimo_vl.model.checkpoint"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
