"""What the base language model reads."""

from __future__ import annotations

import pytest

from mimo_vl.data.synthesis.text import Transcript
from mimo_vl.processing.tokenizer import Tokenizer, train_bpe
from mimo_vl.training.base_language import IGNORED, encode_document, model_token_ids

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["7 red digits", "3 red"] * 20, vocab_size=320)


def test_a_text_predicts_each_next_token_and_its_end(tokenizer: Tokenizer) -> None:
    end = tokenizer.special_ids.end_of_text
    document = encode_document("7 red", tokenizer, max_tokens=100)
    spoken = [*tokenizer.encode("7 red"), end]
    assert document.ids_T.tolist() == spoken
    assert document.targets_T.tolist() == [*spoken[1:], IGNORED]


def test_the_cells_of_a_transcript_stand_between_the_vision_marks_and_are_never_predicted(tokenizer: Tokenizer) -> None:
    special = tokenizer.special_ids
    document = encode_document(Transcript(cells=" red7", text="7"), tokenizer, max_tokens=100)
    cells = [special.vision_start, *tokenizer.encode(" red7"), special.vision_end]
    spoken = [*tokenizer.encode("7"), special.end_of_text]
    assert document.ids_T.tolist() == cells + spoken
    # The last cell predicts the first spoken token; no cell is itself a target.
    assert document.targets_T.tolist() == [IGNORED] * (len(cells) - 1) + spoken + [IGNORED]


def test_a_long_document_is_cut(tokenizer: Tokenizer) -> None:
    document = encode_document("7 red 3 red", tokenizer, max_tokens=2)
    assert len(document.ids_T) == len(document.targets_T) == 2


def test_the_model_gets_the_tokenizers_own_special_ids(tokenizer: Tokenizer) -> None:
    ids = model_token_ids(tokenizer)
    assert ids.image_pad == tokenizer.special_ids.image_pad
    assert ids.end_of_turn == tokenizer.special_ids.turn_end
