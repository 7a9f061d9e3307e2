from __future__ import annotations

import pytest
from transformers import Qwen2_5_VLForConditionalGeneration

from tests.fakes.tiny_vlm import build_model


@pytest.fixture(scope="session")
def model() -> Qwen2_5_VLForConditionalGeneration:
    return build_model()
