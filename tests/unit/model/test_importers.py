"""Checkpoints of other families give the same logits inside our model as in their own."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM, PreTrainedModel

from mimo_vl.config.model import ModelConfig
from mimo_vl.errors import ConfigError, InputError
from mimo_vl.model.assemble import assemble
from mimo_vl.model.importers.llama_gguf import split_rope_halves
from mimo_vl.model.importers.registry import read_language_model
from mimo_vl.model.packed import packed_hidden_states, row_tensors
from mimo_vl.processing.packed_row import pack_row
from tests.fakes.gguf_model import tiny_llama, write_llama_gguf
from tests.fakes.model_sizes import tiny_config
from tests.unit.model.builders import TOKEN_IDS, VOCAB_SIZE, language_checkpoint, sample

pytestmark = pytest.mark.timeout(120)

TEXTS = [sample("a", 9), sample("b", 5)]


def _llama(folder: Path) -> LlamaForCausalLM:
    model = tiny_llama(tiny_config().language, vocab_size=VOCAB_SIZE)
    model.save_pretrained(folder)
    return model


def _logits(config: ModelConfig, path: Path, samples=TEXTS) -> torch.Tensor:
    model = assemble(config, vocab_size=VOCAB_SIZE, language_path=path, vision_path=None, token_ids=TOKEN_IDS)
    with torch.no_grad():
        return model.lm_head(packed_hidden_states(model, row_tensors(pack_row(samples))))


def _plain_logits(model: PreTrainedModel, samples=TEXTS) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(torch.from_numpy(s.input_ids_T)[None]).logits[0] for s in samples])


def _source(name: str) -> ModelConfig:
    return dataclasses.replace(tiny_config(), language_source=name)


def test_a_llama_checkpoint_gives_the_logits_of_llama(tmp_path):
    llama = _llama(tmp_path)
    torch.testing.assert_close(_logits(_source("llama"), tmp_path), _plain_logits(llama), atol=1e-4, rtol=1e-4)


def test_mtp_layers_of_mimo_7b_are_left_out_with_a_log_line(tmp_path, caplog):
    plain = language_checkpoint(tmp_path / "plain")
    state = load_file(plain / "model.safetensors")
    mtp = {"model.mtp_layers.0.input_proj.weight": torch.ones(4, 8), "model.mtp_layers.0.norm.weight": torch.ones(4)}
    (tmp_path / "mimo").mkdir()
    save_file(state | mtp, tmp_path / "mimo" / "model.safetensors")
    with caplog.at_level(logging.INFO):
        imported = read_language_model("mimo-7b", tmp_path / "mimo")
    assert imported.keys() == state.keys()
    assert "left out mtp_layers=1 tensors=2 parameters=36" in caplog.text


def test_rope_pairs_become_halves():
    # two heads of four rows, pairs (a0 b0) (a1 b1)
    rows = torch.tensor([[0], [10], [1], [11], [20], [30], [21], [31]])
    assert split_rope_halves(rows, 2).flatten().tolist() == [0, 1, 10, 11, 20, 21, 30, 31]


def test_a_gguf_file_gives_the_logits_of_llama(tmp_path):
    llama = _llama(tmp_path / "llama")
    write_llama_gguf(tmp_path / "m.gguf", llama)
    logits = _logits(_source("llama-gguf"), tmp_path / "m.gguf")
    torch.testing.assert_close(logits, _plain_logits(llama), atol=1e-4, rtol=1e-4)


def test_an_unknown_source_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="'gpt2', wanted one of"):
        read_language_model("gpt2", tmp_path)


def test_a_folder_without_gguf_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"found 0 \.gguf files"):
        read_language_model("llama-gguf", tmp_path)
