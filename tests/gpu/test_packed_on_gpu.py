"""The packed forward with a varlen flash kernel in bf16 agrees with the fp32 result of the CPU."""

from __future__ import annotations

import copy

import pytest
import torch

from mimo_vl.model.packed import packed_hidden_states, row_tensors
from mimo_vl.model.supervised import supervised_loss
from mimo_vl.processing.packed_row import pack_row
from mimo_vl.processing.shared_prompts import pack_answers
from tests.unit.model.builders import answers, sample, tiny_model

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(300)]

SAMPLES = [
    sample("a", 9),
    sample("b", 3, (1, 8, 10), 6, (1, 4, 4), 2),
    sample("c", 1),
    sample("d", 2, (3, 4, 4, 0.5), 40),
]
ANSWERS = [*answers("p", (1, 8, 10), [3, 40, 17]), *answers("q", None, [5, 2])]
# bf16 keeps 8 bits: a relative error of 2^-8 per operation, some tens of operations deep.
BF16_TOLERANCE = 0.05


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    on_cpu = tiny_model(tmp_path_factory.mktemp("model")).train()
    return on_cpu, copy.deepcopy(on_cpu).to("cuda", torch.bfloat16)


def test_hidden_states_agree_with_the_cpu(models):
    on_cpu, on_gpu = models
    row = pack_row(SAMPLES)
    with torch.no_grad():
        expected = packed_hidden_states(on_cpu, row_tensors(row))
        got = packed_hidden_states(on_gpu, row_tensors(row, "cuda")).float().cpu()
    error = (got - expected).norm() / expected.norm()
    assert error < BF16_TOLERANCE


def test_loss_and_gradients_agree_with_the_cpu(models):
    row = pack_row(SAMPLES)
    losses = []
    for model, device in zip(models, ("cpu", "cuda"), strict=True):
        model.zero_grad(set_to_none=True)
        result = supervised_loss(model, row_tensors(row, device), scale=1 / row.num_supervised)
        result.loss_sum.backward()
        losses.append(result.loss_sum.item())
    assert losses[1] == pytest.approx(losses[0], rel=BF16_TOLERANCE)
    num_checked = 0
    for (name, expected), got in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        if expected.grad.norm() > 1e-3:
            cosine = torch.nn.functional.cosine_similarity(
                expected.grad.flatten(), got.grad.float().cpu().flatten(), dim=0
            )
            assert cosine > 0.98, name
            num_checked += 1
    assert num_checked > 10


def test_answers_behind_a_shared_prompt_agree_with_a_prompt_each(models):
    model = models[1]
    results = []
    for pack in (pack_row, pack_answers):
        model.zero_grad(set_to_none=True)
        result = supervised_loss(model, row_tensors(pack(ANSWERS), "cuda"), scale=0.1)
        result.loss_sum.backward()
        results.append((result.token_losses_N, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    (apart_N, wanted), (shared_N, got) = results
    assert (shared_N - apart_N).norm() <= BF16_TOLERANCE * apart_N.norm()
    for name, gradient in wanted.items():
        if gradient.norm() > 1e-3:
            cosine = torch.nn.functional.cosine_similarity(
                gradient.flatten().float(), got[name].flatten().float(), dim=0
            )
            assert cosine > 0.98, name


def test_no_document_sees_another_on_gpu(models):
    _, on_gpu = models
    with torch.no_grad():
        first, second = (
            packed_hidden_states(on_gpu, row_tensors(pack_row([doc, SAMPLES[1]]), "cuda"))
            for doc in (sample("x", 9), sample("y", 9))
        )
    assert not torch.equal(first[:9], second[:9])
    assert torch.equal(first[9:], second[9:])
