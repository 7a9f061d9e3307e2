"""A packed row gives each sample the logits, loss and gradients that it has alone in plain transformers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mimo_vl.model.freeze import enable_checkpointing
from mimo_vl.model.packed import packed_hidden_states, row_tensors
from mimo_vl.model.supervised import supervised_loss, token_logprobs
from mimo_vl.processing.packed_row import EncodedSample, pack_row
from tests.unit.model.builders import sample, tiny_model
from tests.unit.model.stock import stock_copy, stock_logits, stock_loss

pytestmark = pytest.mark.timeout(120)

SECONDS = 0.5
TOLERANCE = 1e-5

TEXT = [sample("t1", 9), sample("t2", 1), sample("t3", 14), sample("t4", 2)]
IMAGE = [sample("i1", 3, (1, 4, 6), 6), sample("i2", 2, (1, 8, 10), 5), sample("i3", 1, (1, 2, 2), 3)]
MULTI_IMAGE = [sample("m1", 2, (1, 4, 4), 3, (1, 6, 8), 4), sample("m2", 1, (1, 2, 4), 1, (1, 4, 2), 2)]
VIDEO = [sample("v1", 3, (3, 4, 4, SECONDS), 5), sample("v2", 2, (2, 6, 4, SECONDS), 4)]
# An image is the last thing of a document and the first of the next; a document of length 1 between documents.
BOUNDARY = [sample("b1", 4, (1, 4, 4)), sample("b2", (1, 4, 6), 5), sample("b3", 1), sample("b4", (1, 2, 2))]
MIXED = [TEXT[0], VIDEO[0], TEXT[1], MULTI_IMAGE[0], sample("x1", 2, (1, 4, 4), 3, (2, 4, 4, SECONDS), 6), IMAGE[0]]
ROWS = {
    "text": TEXT,
    "image": IMAGE,
    "multi-image": MULTI_IMAGE,
    "video": VIDEO,
    "boundary": BOUNDARY,
    "mixed": MIXED,
    "one": [IMAGE[1]],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = tiny_model(folder).train()
    return model, stock_copy(model, folder / "saved")


@pytest.mark.parametrize("samples", ROWS.values(), ids=ROWS.keys())
def test_logits_equal_those_of_each_sample_alone(models, samples):
    model, stock = models
    with torch.no_grad():
        logits_TV = model.lm_head(packed_hidden_states(model, row_tensors(pack_row(samples))))
        alone_TV = torch.cat([stock_logits(stock, s, SECONDS) for s in samples])
    assert alone_TV.std() > 0.5  # far from a constant function, so equality means something
    torch.testing.assert_close(logits_TV, alone_TV, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "checkpointed"])
@pytest.mark.parametrize("samples", ROWS.values(), ids=ROWS.keys())
def test_loss_and_gradients_equal_those_of_the_samples_one_by_one(models, samples, checkpointing):
    model, stock = models
    enable_checkpointing(model, vision=checkpointing, language=checkpointing)
    for each in models:
        each.zero_grad(set_to_none=True)
    row = pack_row(samples)
    scale = 1.0 / row.num_supervised
    result = supervised_loss(model, row_tensors(row), chunk=7, scale=scale)
    result.loss_sum.backward()
    alone = sum(stock_loss(stock, s, SECONDS) * scale for s in samples)
    alone.backward()
    enable_checkpointing(model, vision=False, language=False)

    torch.testing.assert_close(result.loss_sum, alone, atol=TOLERANCE, rtol=TOLERANCE)
    gradients = {name: p.grad for name, p in stock.named_parameters()}
    num_checked = 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # The plain text forward never calls the tower: there, "no gradient" equals the packed row's zeros.
        expected = gradients[name] if gradients[name] is not None else torch.zeros_like(parameter)
        size = max(1.0, expected.abs().max().item())
        difference = (parameter.grad - expected).abs().max().item()
        assert difference <= TOLERANCE * size, f"{name}: {difference}"
        num_checked += int(expected.abs().max() > 1e-4)
    assert num_checked > 10


def test_token_losses_name_their_sample_and_add_up(models):
    model, stock = models
    row = pack_row(MIXED)
    result = supervised_loss(model, row_tensors(row))
    for index, each in enumerate(MIXED):
        of_sample = result.token_losses_N[result.segment_N == index]
        assert len(of_sample) == each.supervised_T.sum()
        torch.testing.assert_close(of_sample.sum(), stock_loss(stock, each, SECONDS).detach(), atol=1e-4, rtol=1e-5)


def test_token_logprobs_are_minus_the_token_losses_at_temperature_1(models):
    model, _ = models
    rows = row_tensors(pack_row(MIXED))
    losses_N = supervised_loss(model, rows).token_losses_N
    torch.testing.assert_close(token_logprobs(model, rows, chunk=5), -losses_N, atol=1e-5, rtol=1e-5)


def test_a_perturbed_first_document_leaves_the_second_unchanged(models):
    model, _ = models
    first, second = MULTI_IMAGE[0], IMAGE[0]
    before, after = (_hidden(model, [doc, second]) for doc in (first, _perturbed(first)))
    length = first.num_tokens
    assert (before[:length] - after[:length]).abs().max() > 0.1
    assert torch.equal(before[length:], after[length:])


def test_order_of_samples_does_not_matter(models):
    model, _ = models
    a, b = IMAGE[0], VIDEO[0]
    ab, ba = _hidden(model, [a, b]), _hidden(model, [b, a])
    torch.testing.assert_close(ab[: a.num_tokens], ba[b.num_tokens :], atol=TOLERANCE, rtol=TOLERANCE)


def test_a_text_row_gives_every_vision_parameter_a_zero_gradient(models):
    model, _ = models
    model.zero_grad(set_to_none=True)
    row = pack_row(TEXT)
    supervised_loss(model, row_tensors(row)).loss_sum.backward()
    gradients = [p.grad for p in model.model.visual.parameters()]
    assert len(gradients) > 20
    assert all(g is not None and not g.any() for g in gradients)


def test_a_text_row_calls_the_vision_tower_also_when_it_is_frozen(models):
    model, _ = models
    calls = []
    handle = model.model.visual.register_forward_hook(lambda *_: calls.append(1))
    model.model.visual.requires_grad_(False)
    try:
        supervised_loss(model, row_tensors(pack_row(TEXT))).loss_sum.backward()
    finally:
        handle.remove()
        model.model.visual.requires_grad_(True)
    assert len(calls) == 1


def test_placeholders_without_features_are_an_error(models):
    model, _ = models
    broken = dataclasses.replace(
        pack_row([IMAGE[0]]), grid_thw_N3=np.array([[1, 4, 4]]), patches_PC=IMAGE[0].patches_PC[:16]
    )
    with pytest.raises(ValueError, match="6 visual placeholders but 4 visual features"):
        packed_hidden_states(model, row_tensors(broken))


def test_a_model_with_stock_attention_is_refused(models):
    _, stock = models
    with pytest.raises(ValueError, match="samples of a packed row would attend to each other"):
        packed_hidden_states(stock, row_tensors(pack_row(TEXT)))


def _hidden(model, samples) -> torch.Tensor:
    with torch.no_grad():
        return packed_hidden_states(model, row_tensors(pack_row(samples)))


def _perturbed(each: EncodedSample) -> EncodedSample:
    ids_T = np.where(each.mm_types_T == 0, (each.input_ids_T + 1) % 90, each.input_ids_T)
    return dataclasses.replace(each, input_ids_T=ids_T, patches_PC=each.patches_PC + 1.0)
