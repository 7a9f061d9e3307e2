"""How are losses and log-probabilities read off hidden states inside the output layer's own call?

Sharded training (ZeRO-3) gathers a layer's weight when the layer is *called*. So the chunked cross-entropy, which needs
the weight and no logits, runs inside the call of `lm_head`; called plainly, it is still a linear layer.
"""

# Shapes: N supervised tokens, D model width, V vocabulary rows
from __future__ import annotations

import torch
from torch import nn

from mimo_vl.model.cross_entropy import DEFAULT_CHUNK, chunked_cross_entropy, chunked_logprobs
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration


class LanguageHead(nn.Linear):
    """A linear layer without bias that can also return a loss or log-probabilities instead of logits."""

    def forward(self, h_ND: torch.Tensor, task: LossTask | LogprobTask | None = None) -> torch.Tensor:
        """Return logits, or what `task` makes of them: the scalar loss, or log-probabilities [N]."""
        if task is None:
            return super().forward(h_ND)
        return task.run(h_ND, self.weight)


class LossTask:
    """Sum of token losses (see `chunked_cross_entropy`); leaves the detached losses per token in `token_losses_N`."""

    token_losses_N: torch.Tensor

    def __init__(
        self,
        targets_N: torch.Tensor,
        *,
        chunk: int = DEFAULT_CHUNK,
        scale: float = 1.0,
        weights_N: torch.Tensor | None = None,
    ) -> None:
        self.targets_N, self.chunk, self.scale, self.weights_N = targets_N, chunk, scale, weights_N

    def run(self, h_ND: torch.Tensor, weight_VD: torch.Tensor) -> torch.Tensor:
        loss_sum, self.token_losses_N = chunked_cross_entropy(
            h_ND, weight_VD, self.targets_N, chunk=self.chunk, scale=self.scale, weights_N=self.weights_N
        )
        return loss_sum


class LogprobTask:
    """Log-probability per target (see `chunked_logprobs`)."""

    def __init__(self, targets_N: torch.Tensor, *, temperature: float = 1.0, chunk: int = DEFAULT_CHUNK) -> None:
        self.targets_N, self.temperature, self.chunk = targets_N, temperature, chunk

    def run(self, h_ND: torch.Tensor, weight_VD: torch.Tensor) -> torch.Tensor:
        return chunked_logprobs(h_ND, weight_VD, self.targets_N, temperature=self.temperature, chunk=self.chunk)


def install_language_head(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Replace `lm_head` by a LanguageHead with the same parameter (tied or not); nothing if done before."""
    if isinstance(model.lm_head, LanguageHead):
        return
    weight = model.lm_head.weight
    head = LanguageHead(weight.shape[1], weight.shape[0], bias=False, device="meta")
    head.weight = weight
    head.train(model.lm_head.training)
    model.lm_head = head


def language_head(model: Qwen2_5_VLForConditionalGeneration) -> LanguageHead:
    """The model's head.

    Raises:
        ValueError: the model was made without `load_model` or `assemble`.
    """
    head = model.lm_head
    if not isinstance(head, LanguageHead):
        raise ValueError(
            f"lm_head is a {type(head).__name__}, wanted a LanguageHead; load the model by load_model() or call "
            "prepare_model() first"
        )
    return head
