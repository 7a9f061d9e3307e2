from __future__ import annotations

import pytest

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import Tokenizer, train_bpe

TEXTS = [
    "Read the digits. How many digits are there?",
    "读出数字。有几个数字？",
    r"<think>3+5=8</think>\boxed{8}",
    '```json\n[{"bbox_2d": [28, 0, 56, 28], "label": "7"}]\n```',
    "user\n",
    "assistant\n",
] * 8


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS, vocab_size=400)


@pytest.fixture(scope="session")
def config() -> ProcessingConfig:
    """The tiny profile's limits."""
    return ProcessingConfig(
        min_pixels=3136,
        max_pixels=50176,
        video_max_frames=16,
        video_min_pixels=784,
        video_max_pixels=3136,
        video_total_tokens=64,
    )


@pytest.fixture(scope="session")
def encoder(tokenizer: Tokenizer, config: ProcessingConfig) -> SampleEncoder:
    return SampleEncoder(tokenizer, config)
