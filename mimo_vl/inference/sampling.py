"""How is one token drawn? Inverse CDF of one uniform number, which depends on (seed, step, prompt, sample, position).

Shapes: R rows (running samples), V vocabulary, T token positions.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch

from mimo_vl.schema.rollout import SamplingParams


def sample_uniforms(params: SamplingParams, prompt_id: str, sample_index: int) -> npt.NDArray[np.float64]:
    """u_T in [0, 1), one number per token position, from the counter-based generator Philox keyed by a hash.

    Nothing else enters, so a sample can be drawn again in any batch, on any engine, after any restart.
    """
    name = f"{params.seed}\0{params.step}\0{prompt_id}\0{sample_index}".encode()
    key = np.frombuffer(hashlib.sha256(name).digest()[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).random(params.max_new_tokens)


def sampling_logprobs(logits_RV: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Log-probabilities of the sampling distribution: softmax(logits / temperature), cut to the nucleus, renormalised.

    Temperature 0 (greedy) reports the model's own distribution (temperature 1), which is what a reader wants to see.
    """
    scaled = logits_RV.float() / (temperature or 1.0)
    logp_RV = torch.log_softmax(scaled, dim=-1)
    if top_p >= 1.0 or temperature == 0.0:
        return logp_RV
    sorted_RV, order_RV = logp_RV.sort(dim=-1, descending=True, stable=True)
    before_RV = sorted_RV.exp().cumsum(dim=-1) - sorted_RV.exp()
    # A token stays if the mass before it is below top_p; the most probable one always stays.
    dropped_RV = torch.zeros_like(logp_RV, dtype=torch.bool).scatter(-1, order_RV, before_RV >= top_p)
    return torch.log_softmax(logp_RV.masked_fill(dropped_RV, float("-inf")), dim=-1)


def draw_tokens(logp_RV: torch.Tensor, uniforms_R: torch.Tensor, *, is_greedy: bool) -> torch.Tensor:
    """ids_R: the smallest id whose cumulative probability exceeds the uniform; greedy: the most probable id."""
    if is_greedy:
        return logp_RV.argmax(dim=-1)
    # float64: in float32 the running sum over a large vocabulary loses the last tokens.
    cumulative_RV = logp_RV.double().exp().cumsum(dim=-1)
    threshold_R1 = (uniforms_R.double() * cumulative_RV[:, -1]).unsqueeze(1)
    ids_R = torch.searchsorted(cumulative_RV, threshold_R1, right=True).squeeze(1)
    # u * total can round up to total; then the last token with any mass is meant.
    last_R = (cumulative_RV < cumulative_RV[:, -1:]).sum(dim=-1)
    return torch.minimum(ids_R, last_R)
