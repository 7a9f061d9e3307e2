from __future__ import annotations

import filecmp
import re
from pathlib import Path

import numpy as np
import pytest

from mimo_vl.data.pipelines.base import BACKGROUND, digit_cells, language_corpus, train_tokenizer
from mimo_vl.data.synthesis.reasoning import arithmetic_text
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


def test_no_heldout_problem_is_worked_out_in_the_corpus(studios: dict[Split, Studio]) -> None:
    train = studios[Split.TRAIN]
    operands = range(-9, 10)
    problems = {arithmetic_text([a, b, c]) for a in range(10) for b in operands for c in operands if 0 <= a + b >= -c}
    heldout = {problem for problem in problems if not train.owns_text(problem)}
    # A first digit a reaches the totals 0 ... a + 9, a total t then 10 + min(t, 9) that are not negative:
    # sum over a of (145 + 19 a) = 1450 + 19 * 45. A quarter of them is held out.
    assert len(problems) == 2305
    assert len(heldout) == pytest.approx(2305 / 4, abs=60)
    shown = {p for d in language_corpus(train, seed=0) for p in _worked_out(d if isinstance(d, str) else d.text)}
    assert len(shown) > 1000
    assert shown <= problems
    assert shown.isdisjoint(heldout)


def _worked_out(text: str) -> set[str]:
    """Problems of three one-digit operands whose two steps stand in the text, at its start or within a longer sum."""
    steps = re.finditer(r"(?<!\d)(?=(\d)([+-]\d)=(\d+),\3([+-]\d)=\d)", text)
    return {step[1] + step[2] + step[4] for step in steps}


def test_the_working_of_a_longer_sum_is_found_in_its_middle() -> None:
    assert _worked_out("0+3=3,3+4=7,7+5=12,12+1=13") == {"0+3+4", "3+4+5", "7+5+1"}


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
