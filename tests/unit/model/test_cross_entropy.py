"""Chunked cross-entropy equals the plain one, in value and gradients, for any chunk."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, log_softmax

from mimo_vl.model.cross_entropy import chunked_cross_entropy, chunked_logprobs


def _problem(num_tokens: int = 11) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    h_ND = torch.randn(num_tokens, 6, generator=generator, dtype=torch.float64).requires_grad_()
    weight_VD = torch.randn(17, 6, generator=generator, dtype=torch.float64).requires_grad_()
    targets_N = torch.randint(0, 17, (num_tokens,), generator=generator)
    return h_ND, weight_VD, targets_N


@pytest.mark.parametrize("chunk", [1, 4, 11, 100])
def test_loss_and_gradients_equal_plain_cross_entropy(chunk):
    ours, plain = _problem(), _problem()
    loss, token_losses_N = chunked_cross_entropy(*ours, chunk=chunk, scale=0.25)
    expected_N = cross_entropy(plain[0] @ plain[1].T, plain[2], reduction="none")
    (3.0 * loss).backward()
    (3.0 * 0.25 * expected_N.sum()).backward()
    torch.testing.assert_close(token_losses_N, expected_N.detach().float())
    torch.testing.assert_close(loss.item(), 0.25 * expected_N.sum().item(), rtol=1e-6, atol=0)
    # The softmax is computed in float32 whatever the dtype of the weights.
    torch.testing.assert_close(ours[0].grad, plain[0].grad, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours[1].grad, plain[1].grad, atol=1e-6, rtol=1e-5)


def test_weights_per_token_scale_loss_and_gradient():
    ours, plain = _problem(), _problem()
    weights_N = torch.linspace(-1, 1, 11)
    loss, token_losses_N = chunked_cross_entropy(*ours, chunk=4, weights_N=weights_N)
    expected = (cross_entropy(plain[0] @ plain[1].T, plain[2], reduction="none") * weights_N).sum()
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss.item(), expected.item(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours[0].grad, plain[0].grad, atol=1e-6, rtol=1e-5)
    assert (token_losses_N > 0).all()  # losses per token are unweighted


def test_half_precision_adds_up_its_chunks_in_full_precision():
    generator = torch.Generator().manual_seed(0)
    # Means far from zero: sums grow while their terms do not, so that a sum in bf16 would lose them.
    h_ND = (torch.randn(512, 6, generator=generator) * 0.5 + 1.0).bfloat16()
    weight_VD = (torch.randn(17, 6, generator=generator) * 0.1).bfloat16().requires_grad_()
    targets_N = torch.randint(0, 17, (512,), generator=generator)
    exact_VD = weight_VD.detach().float().requires_grad_()
    cross_entropy(h_ND.float() @ exact_VD.T, targets_N, reduction="sum").backward()
    # 256 chunks.
    chunked_cross_entropy(h_ND, weight_VD, targets_N, chunk=2)[0].backward()
    assert weight_VD.grad.dtype == torch.bfloat16
    error = (weight_VD.grad.float() - exact_VD.grad).abs().max() / exact_VD.grad.abs().max()
    # bf16 has 8 bits: one rounding is an error of at most 0.002 or 0.004; sums in bf16 came to 0.027.
    assert error < 0.006


def test_no_token_gives_loss_zero_and_zero_gradients():
    h_ND, weight_VD, targets_N = _problem(0)
    loss, token_losses_N = chunked_cross_entropy(h_ND, weight_VD, targets_N)
    loss.backward()
    assert loss.item() == 0.0
    assert len(token_losses_N) == 0
    assert not weight_VD.grad.any()


def test_a_frozen_weight_gets_no_gradient():
    h_ND, weight_VD, targets_N = _problem()
    weight_VD.requires_grad_(False)
    chunked_cross_entropy(h_ND, weight_VD, targets_N)[0].backward()
    assert weight_VD.grad is None
    assert h_ND.grad.any()


def test_a_second_backward_is_an_error():
    loss, _ = chunked_cross_entropy(*_problem())
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second backward"):
        loss.backward()


def test_an_infinite_logit_makes_the_loss_not_finite():
    h_ND, weight_VD, targets_N = _problem()
    with torch.no_grad():
        h_ND[3, 0] = float("nan")
    assert not torch.isfinite(chunked_cross_entropy(h_ND, weight_VD, targets_N)[0])


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_and_gradients_equal_log_softmax(temperature):
    ours, plain = _problem(), _problem()
    logprobs_N = chunked_logprobs(*ours, temperature=temperature, chunk=3)
    expected_N = log_softmax(plain[0] @ plain[1].T / temperature, dim=1).gather(1, plain[2][:, None])[:, 0]
    torch.testing.assert_close(logprobs_N.double(), expected_N, atol=1e-6, rtol=1e-5)
    factors_N = torch.linspace(-1, 2, 11)
    (logprobs_N * factors_N).sum().backward()
    (expected_N * factors_N).sum().backward()
    torch.testing.assert_close(ours[0].grad, plain[0].grad, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours[1].grad, plain[1].grad, atol=1e-6, rtol=1e-5)


def test_temperature_zero_is_an_error():
    with pytest.raises(ValueError, match="temperature is 0"):
        chunked_logprobs(*_problem(), temperature=0)
