"""What the base language model reads."""

from __future__ import annotations

import pytest

from mimo_vl.data.synthesis.text import Transcript
from mimo_vl.processing.tokenizer import Tokenizer, train_bpe
from mimo_vl.training.base_language import IGNORED, model_token_ids, token_stream

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["7 red digits", "3 red"] * 20, vocab_size=320)


def test_documents_stand_in_order_each_with_its_end(tokenizer: Tokenizer) -> None:
    end = tokenizer.special_ids.end_of_text
    expected = [*tokenizer.encode("7 red"), end, *tokenizer.encode("3"), end]
    ids_N, labels_N = token_stream(["7 red", "3"], tokenizer)
    assert ids_N.tolist() == labels_N.tolist() == expected


def test_a_transcript_has_its_cells_between_the_vision_marks(tokenizer: Tokenizer) -> None:
    special = tokenizer.special_ids
    ids_N, labels_N = token_stream([Transcript(cells=" red7", text="7")], tokenizer)
    cells = [special.vision_start, *tokenizer.encode(" red7"), special.vision_end]
    spoken = [*tokenizer.encode("7"), special.end_of_text]
    assert ids_N.tolist() == cells + spoken
    # Cells are read and never predicted, as visual tokens are.
    assert labels_N.tolist() == [IGNORED] * len(cells) + spoken


def test_the_model_gets_the_tokenizers_own_special_ids(tokenizer: Tokenizer) -> None:
    ids = model_token_ids(tokenizer)
    assert ids.image_pad == tokenizer.special_ids.image_pad
    assert ids.end_of_turn == tokenizer.special_ids.turn_end
