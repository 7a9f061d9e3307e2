"""The engine draws what the model says: log-probs, greedy choice, independence of the batch, stop, weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from mimo_vl.errors import WeightVersionError
from mimo_vl.inference.hf_engine import HfEngine
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.schema.rollout import Completion, SamplingParams
from tests.fakes.tiny_vlm import STOP, NumberDecoder, build_model, image_prompt, text_prompt

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def prompts(model: Qwen2_5_VLForConditionalGeneration) -> list[EncodedSample]:
    return [
        text_prompt("short", [3]),
        image_prompt("first", model, seed=1),
        text_prompt("long", list(range(10, 40))),
        image_prompt("second", model, seed=2),
    ]


def _engine(model: Qwen2_5_VLForConditionalGeneration, *, max_rows: int = 192) -> HfEngine:
    return HfEngine(model, NumberDecoder(), stop_token_ids=[STOP], max_rows=max_rows)


def _plain_logprobs(
    model: Qwen2_5_VLForConditionalGeneration, prompt: EncodedSample, token_ids: tuple[int, ...]
) -> torch.Tensor:
    """The same answer through one plain forward of transformers, which computes positions by itself."""
    ids = torch.from_numpy(np.concatenate([prompt.input_ids_T, token_ids]))[None]
    types = torch.zeros_like(ids, dtype=torch.int32)
    types[0, : prompt.num_tokens] = torch.from_numpy(prompt.mm_types_T)
    media = {}
    if len(prompt.grid_thw_N3):
        media = {
            "pixel_values": torch.from_numpy(prompt.patches_PC),
            "image_grid_thw": torch.from_numpy(prompt.grid_thw_N3),
        }
    with torch.no_grad():
        logits = model(input_ids=ids, mm_token_type_ids=types, use_cache=False, **media).logits[0]
    logp = torch.log_softmax(logits[prompt.num_tokens - 1 : -1], dim=-1)
    return logp.gather(1, torch.tensor(token_ids)[:, None])[:, 0]


def _by_id(groups: list[list[Completion]]) -> dict[str, list[Completion]]:
    return {group[0].prompt_id: group for group in groups}


def test_logprobs_equal_those_of_a_plain_forward(
    model: Qwen2_5_VLForConditionalGeneration, prompts: list[EncodedSample]
) -> None:
    groups = _engine(model).generate(prompts, SamplingParams(num_samples=5, max_new_tokens=12))
    num_checked = 0
    for prompt, group in zip(prompts, groups, strict=True):
        assert [c.sample_index for c in group] == [0, 1, 2, 3, 4]
        for completion in group:
            expected = _plain_logprobs(model, prompt, completion.token_ids)
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-4, rtol=0)
            num_checked += len(completion.token_ids)
    assert num_checked > 50


def test_greedy_equals_generate_of_transformers(
    model: Qwen2_5_VLForConditionalGeneration, prompts: list[EncodedSample]
) -> None:
    groups = _engine(model).generate(prompts, SamplingParams(temperature=0.0, max_new_tokens=10))
    for prompt, (completion,) in zip(prompts, groups, strict=True):
        ids = torch.from_numpy(prompt.input_ids_T)[None]
        media = {}
        if len(prompt.grid_thw_N3):
            media = {
                "pixel_values": torch.from_numpy(prompt.patches_PC),
                "image_grid_thw": torch.from_numpy(prompt.grid_thw_N3),
                "mm_token_type_ids": torch.from_numpy(prompt.mm_types_T)[None].int(),
            }
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=10, **media
        )
        assert list(completion.token_ids) == out[0, prompt.num_tokens :].tolist()


def test_a_sample_does_not_depend_on_the_rest_of_its_batch(
    model: Qwen2_5_VLForConditionalGeneration, prompts: list[EncodedSample]
) -> None:
    params = SamplingParams(num_samples=4, max_new_tokens=10, seed=3, step=2)
    together = _by_id(_engine(model).generate(prompts, params))
    alone = _by_id(_engine(model, max_rows=4).generate(prompts[::-1], params))
    for name, group in together.items():
        assert [c.token_ids for c in group] == [c.token_ids for c in alone[name]]


def test_seed_and_step_change_the_samples(
    model: Qwen2_5_VLForConditionalGeneration, prompts: list[EncodedSample]
) -> None:
    engine = _engine(model)
    base = SamplingParams(num_samples=4, max_new_tokens=10)
    first = engine.generate(prompts, base)
    assert engine.generate(prompts, base) == first
    assert engine.generate(prompts, base.model_copy(update={"step": 1})) != first
    assert engine.generate(prompts, base.model_copy(update={"seed": 1})) != first


def test_a_finished_row_keeps_its_stop_token_and_text_leaves_it_out(
    model: Qwen2_5_VLForConditionalGeneration, prompts: list[EncodedSample]
) -> None:
    groups = _engine(model).generate(prompts, SamplingParams(num_samples=32, max_new_tokens=40))
    stopped = [c for group in groups for c in group if c.finish_reason == "stop"]
    cut = [c for group in groups for c in group if c.finish_reason == "length"]
    assert len(stopped) > 5
    for c in stopped:
        assert c.token_ids[-1] == STOP
        assert STOP not in c.token_ids[:-1]
        assert c.text == " ".join(str(i) for i in c.token_ids[:-1])
    assert all(len(c.token_ids) == 40 and STOP not in c.token_ids for c in cut)


def test_new_weights_change_version_and_answers_and_an_old_version_is_refused(prompts: list[EncodedSample]) -> None:
    engine = _engine(build_model(0))
    params = SamplingParams(temperature=0.0, max_new_tokens=10)
    before = engine.generate(prompts, params)
    engine.load_weights(build_model(1).state_dict(), version=1)
    after = engine.generate(prompts, params)
    assert {c.weight_version for g in after for c in g} == {1}
    assert [c.token_ids for g in before for c in g] != [c.token_ids for g in after for c in g]
    with pytest.raises(WeightVersionError, match="does not follow the loaded 1"):
        engine.load_weights(build_model(0).state_dict(), version=1)


def test_the_models_own_attention_is_restored(
    model: Qwen2_5_VLForConditionalGeneration, prompts: list[EncodedSample]
) -> None:
    before = model.model.language_model.config._attn_implementation
    _engine(model).generate(prompts[:1], SamplingParams(max_new_tokens=2))
    assert model.model.language_model.config._attn_implementation == before
