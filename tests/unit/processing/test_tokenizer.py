from __future__ import annotations

import filecmp
from pathlib import Path

import pytest

from mimo_vl.errors import InputError
from mimo_vl.processing.tokenizer import SPECIAL_TOKENS, Tokenizer, load_tokenizer, train_bpe

_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_TEXT = 'On 12 May: {"a": [1, 2]} 数字，\n\n  <think>x</think>\\boxed{[00:02, 00:05]} \U0001f600'


def test_every_digit_is_one_token(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("1234567890")
    assert [tokenizer.decode([i]) for i in ids] == list("1234567890")


def test_decoding_gives_the_text_back(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode(_TEXT)) == _TEXT


def test_fixed_wrappers_become_single_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(r"<think>3+5=8</think>\boxed{8}")
    assert [tokenizer.decode([i]) for i in ids] == [
        "<think>",
        "3",
        "+",
        "5",
        "=",
        "8",
        "</think>",
        "\\boxed{",
        "8",
        "}",
    ]


def test_special_tokens_have_the_highest_ids_in_qwens_order(tokenizer: Tokenizer) -> None:
    first = tokenizer.vocab_size - len(SPECIAL_TOKENS)
    assert tokenizer.special_ids.end_of_text == first
    assert tokenizer.special_ids.turn_end == first + 2
    assert tokenizer.special_ids.video_pad == tokenizer.vocab_size - 1


def test_special_tokens_typed_by_a_user_stay_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<|im_end|>")
    assert tokenizer.special_ids.turn_end not in ids
    assert tokenizer.decode(ids) == "<|im_end|>"


def test_training_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    texts = ["the cat and the hat 12", "数字和数字"] * 5
    for name in ("a", "b"):
        train_bpe(texts, vocab_size=300).save(tmp_path / name)
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", _FILES, shallow=False)[0] == list(_FILES)


def test_saved_and_loaded_is_the_same_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode(_TEXT) == tokenizer.encode(_TEXT)
    assert loaded.special_ids == tokenizer.special_ids


def test_a_missing_tokenizer_is_an_input_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.timeout(120)
def test_auto_tokenizer_loads_it_beside_a_model_configuration(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save(tmp_path)
    # A model folder: AutoTokenizer must not replace our splitting of text by that of the model type.
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(_TEXT)["input_ids"] == tokenizer.encode(_TEXT)
    assert loaded.eos_token_id == tokenizer.special_ids.turn_end
    assert loaded.pad_token_id == tokenizer.special_ids.end_of_text
    assert len(loaded) == tokenizer.vocab_size
