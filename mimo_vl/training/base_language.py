"""How is the tiny language model pretrained? Next token on packed documents; it stands for MiMo-7B-Base.

Documents are isolated from each other, as samples are in every later stage: with windows cut across documents the model
did not learn to copy a digit from a transcript within 300 steps, since the digits of others stood in its way.
"""

# Shapes: T tokens of a row, N targets
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mimo_vl.config.model import ModelConfig
from mimo_vl.config.training import BaseStageConfig, ScheduleConfig
from mimo_vl.data.synthesis.text import Transcript
from mimo_vl.model.assemble import fresh_language_model
from mimo_vl.model.attention import TEXT_ATTENTION, register
from mimo_vl.model.configure import TokenIds
from mimo_vl.model.upstream import Qwen2ForCausalLM
from mimo_vl.processing.tokenizer import Tokenizer
from mimo_vl.training.non_finite import non_finite_error
from mimo_vl.training.schedule import lr_factor

_SCHEDULE = ScheduleConfig(kind="cosine", warmup_fraction=0.05, final_lr_ratio=0.1)
_BETAS = (0.9, 0.95)
_WEIGHT_DECAY = 0.05
# Of an error's document.
_NAME_CHARACTERS = 30
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


@dataclass(frozen=True)
class EncodedDocument:
    """ids and, for each, the token to predict next or IGNORED: [T] int64 both. `name`: for errors."""

    name: str
    ids_T: torch.Tensor
    targets_T: torch.Tensor


def encode_document(document: str | Transcript, tokenizer: Tokenizer, *, max_tokens: int) -> EncodedDocument:
    """A document closed by the end-of-text token, cut to `max_tokens`.

    A transcript's cells stand between the vision marks, where a picture has its visual tokens; as those, they are read
    and never predicted.
    """
    special = tokenizer.special_ids
    cells: list[int] = []
    text = document
    if isinstance(document, Transcript):
        cells = [special.vision_start, *tokenizer.encode(document.cells), special.vision_end]
        text = document.text
    spoken = [*tokenizer.encode(str(text)), special.end_of_text]
    targets = [*([IGNORED] * len(cells) + spoken)[1:], IGNORED]
    return EncodedDocument(
        name=repr(str(text)[:_NAME_CHARACTERS]),
        ids_T=torch.tensor((cells + spoken)[:max_tokens]),
        targets_T=torch.tensor(targets[:max_tokens]),
    )


def train_language_model(
    model: ModelConfig,
    config: BaseStageConfig,
    documents: Sequence[str | Transcript],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    heldout: Sequence[str | Transcript],
    seed: int,
    on_step: OnStep,
) -> dict[str, float]:
    """Train on rows of whole documents in shuffled order and write a plain Hugging Face checkpoint to `folder`.

    Returns the mean loss on the held-out documents, before and after, beside counts.

    Raises:
        NonFiniteLossError: before the weights change, naming the step and the documents.
    """
    torch.manual_seed(seed)
    encoded, unseen = (
        [encode_document(d, tokenizer, max_tokens=config.language_max_document_tokens) for d in part]
        for part in (documents, heldout)
    )
    lm = fresh_language_model(
        model, vocab_size=tokenizer.vocab_size, seed=seed, token_ids=model_token_ids(tokenizer)
    ).train()
    register()
    lm.set_attn_implementation(TEXT_ATTENTION)
    optimizer = torch.optim.AdamW(
        lm.parameters(), lr=config.language_lr, betas=_BETAS, weight_decay=_WEIGHT_DECAY, fused=True
    )
    loss_first = _heldout_loss(lm, unseen)
    num_tokens = 0
    rows = _rows(encoded, config.language_row_tokens, np.random.default_rng([seed, 0x1A4]))
    for step, row in zip(range(config.language_steps), rows, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = config.language_lr * lr_factor(step, config.language_steps, _SCHEDULE)
        loss = _update(lm, optimizer, row, step)
        num_tokens += sum(len(document.ids_T) for document in row)
        on_step(step + 1, config.language_steps, loss)
    loss_last = _heldout_loss(lm, unseen)
    lm.set_attn_implementation("sdpa")
    lm.save_pretrained(folder)
    return {
        "loss_first": loss_first,
        "loss_last": loss_last,
        "tokens": float(num_tokens),
        "steps": float(config.language_steps),
    }


def _update(lm: Qwen2ForCausalLM, optimizer: torch.optim.Optimizer, row: Sequence[EncodedDocument], step: int) -> float:
    """One step on the mean loss of the row's targets."""
    losses_N = _target_losses(lm, row)
    if not torch.isfinite(losses_N).all():
        parts = losses_N.split([int((document.targets_T != IGNORED).sum()) for document in row])
        bad = [d.name for d, part in zip(row, parts, strict=True) if not torch.isfinite(part).all()]
        raise non_finite_error("loss", step, bad, kind="documents")
    loss = losses_N.mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    grad_norm = nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
    if not torch.isfinite(grad_norm):
        raise non_finite_error("gradient norm", step, [document.name for document in row], kind="documents")
    optimizer.step()
    return loss.item()


@torch.no_grad()
def _heldout_loss(lm: Qwen2ForCausalLM, documents: Sequence[EncodedDocument]) -> float:
    """Nats per target. The model has no dropout, so it need not leave its training mode."""
    return _target_losses(lm, documents).mean().item()


def _rows(
    documents: Sequence[EncodedDocument], row_tokens: int, rng: np.random.Generator
) -> Iterator[list[EncodedDocument]]:
    """Endless rows of at least `row_tokens`; each pass over the documents has an order of its own."""
    row: list[EncodedDocument] = []
    num_tokens = 0
    while True:
        for i in rng.permutation(len(documents)).tolist():
            row.append(documents[i])
            num_tokens += len(documents[i].ids_T)
            if num_tokens >= row_tokens:
                yield row
                row, num_tokens = [], 0


def _target_losses(lm: Qwen2ForCausalLM, row: Sequence[EncodedDocument]) -> torch.Tensor:
    """[N] cross-entropy of each of the row's targets, in their order; no document sees another."""
    lengths = [len(document.ids_T) for document in row]
    targets_T = torch.cat([document.targets_T for document in row])
    hidden_TD = lm.model(
        input_ids=torch.cat([document.ids_T for document in row])[None],
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        # The dictionary form says that the mask is final: none, since attention follows the boundaries.
        attention_mask={"full_attention": None},
        use_cache=False,
        cu_seq_lens_q=torch.tensor([0, *np.cumsum(lengths).tolist()], dtype=torch.int32),
        max_length_q=max(lengths),
    ).last_hidden_state[0]
    is_target_T = targets_T != IGNORED
    return nn.functional.cross_entropy(lm.lm_head(hidden_TD[is_target_T]), targets_T[is_target_T], reduction="none")
