from __future__ import annotations

import filecmp
from pathlib import Path

import numpy as np

from mimo_vl.data.pipelines.base import BACKGROUND, digit_cells, language_corpus, train_tokenizer
from mimo_vl.data.synthesis.studio import Studio
from mimo_vl.vocabulary import Split


def test_cells_are_a_pure_function_of_seed_and_step(studios: dict[Split, Studio]) -> None:
    train = studios[Split.TRAIN]
    first, again, other = (digit_cells(train, seed=0, step=s, batch_size=6) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.patches_PC, again.patches_PC)
    np.testing.assert_array_equal(first.labels_K, again.labels_K)
    assert not np.array_equal(first.patches_PC, other.patches_PC)


def test_four_patches_make_one_labelled_cell(studios: dict[Split, Studio]) -> None:
    batch = digit_cells(studios[Split.TRAIN], seed=0, step=0, batch_size=40)
    assert batch.patches_PC.shape == (40 * 16, 1176)
    assert batch.grid_thw_N3.tolist() == [[1, 4, 4]] * 40
    # a cell with a digit has strokes, so it varies more than an empty one, on average
    spread = batch.patches_PC.reshape(160, 4, 3, 392).std(axis=(1, 3)).mean(axis=1)
    is_empty = batch.labels_K == BACKGROUND
    assert 0.2 < is_empty.mean() < 0.6
    assert spread[~is_empty].mean() > 1.5 * spread[is_empty].mean()


def test_the_corpus_has_prose_statements_and_both_languages_but_no_chat(studios: dict[Split, Studio]) -> None:
    documents = language_corpus(studios[Split.TRAIN], seed=0)
    assert {p.text for p in studios[Split.TRAIN].sources.paragraphs} <= set(documents)
    joined = "\n".join(d if isinstance(d, str) else d.text for d in documents)
    assert "上有" in joined
    assert "+" in joined
    assert "boxed" not in joined
    assert "<|im_start|>" not in joined


def test_no_heldout_prose_is_in_the_corpus(studios: dict[Split, Studio]) -> None:
    heldout = {p.text for p in studios[Split.HELDOUT].sources.paragraphs}
    assert heldout.isdisjoint(language_corpus(studios[Split.TRAIN], seed=0))


def test_the_tokenizer_has_the_wanted_size_and_repeats_byte_for_byte(
    studios: dict[Split, Studio], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        tokenizer = train_tokenizer(studios[Split.TRAIN], seed=0, vocab_size=1024)
        tokenizer.save(tmp_path / name)
    assert tokenizer.vocab_size == 1024
    assert filecmp.cmp(tmp_path / "a" / "tokenizer.json", tmp_path / "b" / "tokenizer.json", shallow=False)
    # the fixed parts of answers cost one token each
    assert [len(tokenizer.encode(w)) for w in ('```json\n[{"bbox_', '], "label": "', "\\boxed{[", "</think>")] == [
        1
    ] * 4
