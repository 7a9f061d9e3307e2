"""How is the tiny language model pretrained? Next token on plain text; it stands for MiMo-7B-Base."""

# Shapes: B sequences, T tokens per sequence
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mimo_vl.config.model import ModelConfig
from mimo_vl.config.training import BaseStageConfig, ScheduleConfig
from mimo_vl.data.synthesis.text import Transcript
from mimo_vl.errors import InputError, NonFiniteLossError
from mimo_vl.model.assemble import fresh_language_model
from mimo_vl.model.configure import TokenIds
from mimo_vl.processing.tokenizer import Tokenizer
from mimo_vl.training.schedule import lr_factor

_SCHEDULE = ScheduleConfig(kind="cosine", warmup_fraction=0.05, final_lr_ratio=0.1)
_WEIGHT_DECAY = 0.1
_REPORT_STEPS = 10
# Label of a token that is not a target, as torch and transformers have it.
IGNORED = -100

OnStep = Callable[[int, int, float], None]


def model_token_ids(tokenizer: Tokenizer) -> TokenIds:
    """The special tokens that the model's configuration names."""
    ids = tokenizer.special_ids
    return TokenIds(
        image_pad=ids.image_pad,
        video_pad=ids.video_pad,
        vision_start=ids.vision_start,
        vision_end=ids.vision_end,
        end_of_turn=ids.turn_end,
        end_of_text=ids.end_of_text,
    )


def token_stream(documents: Sequence[str | Transcript], tokenizer: Tokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    """All documents in order, each closed by the end-of-text token: ids [N], and labels [N] with IGNORED for cells.

    A transcript's cells stand between the vision marks, where a picture has its visual tokens; as those, they are read
    and never predicted.
    """
    special = tokenizer.special_ids
    ids: list[int] = []
    labels: list[int] = []
    for document in documents:
        text = document
        if isinstance(document, Transcript):
            cells = [special.vision_start, *tokenizer.encode(document.cells), special.vision_end]
            ids += cells
            labels += [IGNORED] * len(cells)
            text = document.text
        spoken = [*tokenizer.encode(str(text)), special.end_of_text]
        ids += spoken
        labels += spoken
    return torch.tensor(ids), torch.tensor(labels)


def train_language_model(
    model: ModelConfig,
    config: BaseStageConfig,
    documents: Sequence[str | Transcript],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    seed: int,
    on_step: OnStep,
) -> dict[str, float]:
    """Train on random windows of the stream and write a plain Hugging Face checkpoint to `folder`."""
    torch.manual_seed(seed)
    stream_N, labels_N = token_stream(documents, tokenizer)
    length = config.language_sequence_length
    if len(stream_N) <= length:
        raise InputError(f"base.language_sequence_length: {length} tokens, but the corpus has only {len(stream_N)}")
    lm = fresh_language_model(
        model, vocab_size=tokenizer.vocab_size, seed=seed, token_ids=model_token_ids(tokenizer)
    ).train()
    optimizer = torch.optim.AdamW(lm.parameters(), lr=config.language_lr, weight_decay=_WEIGHT_DECAY)
    losses: list[float] = []
    for step in range(config.language_steps):
        rng = np.random.default_rng([seed, 0x1A4, step])
        starts = rng.integers(0, len(stream_N) - length, size=config.language_batch_size).tolist()
        ids_BT = torch.stack([stream_N[start : start + length] for start in starts])
        labels_BT = torch.stack([labels_N[start : start + length] for start in starts])
        loss = lm(input_ids=ids_BT, labels=labels_BT, use_cache=False).loss
        if not torch.isfinite(loss):
            raise NonFiniteLossError(f"base.language_lr: the loss of step {step} is {loss.item()}; lower the rate")
        losses.append(loss.item())
        for group in optimizer.param_groups:
            group["lr"] = config.language_lr * lr_factor(step, config.language_steps, _SCHEDULE)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        optimizer.step()
        on_step(step + 1, config.language_steps, losses[-1])
    lm.save_pretrained(folder)
    last = losses[-_REPORT_STEPS:]
    return {
        "loss_first": losses[0],
        "loss_last": sum(last) / len(last),
        "tokens": float(config.language_steps * config.language_batch_size * length),
        "steps": float(config.language_steps),
    }
