"""The tokenizer of a GGUF file keeps its ids and gains what the chat layout needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.errors import InputError
from mimo_vl.model.importers.gguf_tokenizer import read_gguf_tokenizer
from mimo_vl.processing.tokenizer import SPECIAL_TOKENS, Tokenizer, load_tokenizer
from tests.fakes.gguf_model import TOKENS, tiny_llama, write_llama_gguf
from tests.fakes.model_sizes import tiny_config

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return read_gguf_tokenizer(_file(tmp_path_factory.mktemp("gguf"), "smollm"))


def _file(folder: Path, pre_tokenizer: str | None) -> Path:
    path = folder / "model.gguf"
    write_llama_gguf(path, tiny_llama(tiny_config().language, vocab_size=len(TOKENS)), pre_tokenizer=pre_tokenizer)
    return path


def test_tokens_keep_their_ids_and_digits_stay_apart(tokenizer: Tokenizer) -> None:
    # The merges r+e, re+d and space+red; no merge joins digits.
    assert tokenizer.encode("12 red") == [TOKENS.index("1"), TOKENS.index("2"), TOKENS.index("\u0120red")]
    assert (tokenizer.special_ids.end_of_text, tokenizer.special_ids.turn_end) == (0, 2)


def test_bytes_and_special_tokens_that_it_lacks_stand_behind_the_vocabulary(tokenizer: Tokenizer) -> None:
    num_bytes_present = sum(len(token) == 1 for token in TOKENS)
    num_added = (256 - num_bytes_present) + len(SPECIAL_TOKENS) - 3
    assert tokenizer.vocab_size == len(TOKENS) + num_added
    assert tokenizer.special_ids.video_pad == tokenizer.vocab_size - 1
    ids = tokenizer.encode("上有")
    assert min(ids) >= len(TOKENS)
    assert tokenizer.decode(ids) == "上有"


def test_a_control_token_in_plain_text_is_characters(tokenizer: Tokenizer) -> None:
    assert tokenizer.special_ids.turn_end not in tokenizer.encode("<|im_end|>")


def test_the_saved_tokenizer_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.special_ids == tokenizer.special_ids
    assert again.encode("7 red, 上有<|im_start|>") == tokenizer.encode("7 red, 上有<|im_start|>")


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.ggml\.pre is 'llama-bpe', wanted 'smollm'"):
        read_gguf_tokenizer(_file(tmp_path, "llama-bpe"))


def test_a_file_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.ggml\.model is None, wanted 'gpt2'"):
        read_gguf_tokenizer(_file(tmp_path, None))
