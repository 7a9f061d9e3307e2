"""A reward-model folder as a stage leaves it: tiny random weights, a head that tells answers apart, a tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from mimo_vl.model.checkpoint import prepare_model
from mimo_vl.model.configure import TokenIds, build_model_config
from mimo_vl.model.reward_head import RewardModel, save_reward_model
from mimo_vl.processing.tokenizer import train_bpe
from tests.fakes.model_sizes import tiny_config

_TEXTS = ["Read the digits.", "A 3 on red.", "user\n", "assistant\n", "0 1 2 3 4 5 6 7 8 9"] * 4


def write_reward_model(folder: Path, *, kind: str, seed: int = 0) -> Path:
    tokenizer = train_bpe(_TEXTS, vocab_size=320)
    special = tokenizer.special_ids
    token_ids = TokenIds(
        image_pad=special.image_pad,
        video_pad=special.video_pad,
        vision_start=special.vision_start,
        vision_end=special.vision_end,
        end_of_turn=special.turn_end,
        end_of_text=special.end_of_text,
    )
    torch.manual_seed(seed)
    config = build_model_config(tiny_config(), vocab_size=tokenizer.vocab_size, token_ids=token_ids)
    model = RewardModel(prepare_model(Qwen2_5_VLForConditionalGeneration(config)))
    torch.nn.init.normal_(model.head.weight)
    save_reward_model(model, folder, kind=kind)
    tokenizer.save(folder)
    return folder
