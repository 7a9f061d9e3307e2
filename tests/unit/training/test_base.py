"""What the base language model reads, what its losses are means over, and how the stage ends at a NaN."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import Qwen2ForCausalLM

from mimo_vl.config.compose import compose
from mimo_vl.config.training import BaseStageConfig
from mimo_vl.data.synthesis.text import Transcript
from mimo_vl.errors import NonFiniteLossError, RetryableError
from mimo_vl.processing.tokenizer import Tokenizer, train_bpe
from mimo_vl.training.base_language import IGNORED, encode_document, model_token_ids, train_language_model
from mimo_vl.training.base_stage import BaseStage, read_vision_results, train_vision

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


SEEN, UNSEEN = ["7 red digits", "3 red"] * 3, ["3 red digits", Transcript(cells=" red7", text="7 red")]


def _train(tokenizer: Tokenizer, folder: Path, documents: list[str], *, lr: float = 1e-3) -> dict[str, float]:
    config = BaseStageConfig(language_steps=3, language_row_tokens=20, language_lr=lr)
    return train_language_model(
        compose("tiny").model,
        config,
        documents,
        tokenizer,
        folder,
        heldout=UNSEEN,
        seed=0,
        on_step=lambda *_: None,
    )


def _loss_of(lm: Qwen2ForCausalLM, tokenizer: Tokenizer) -> float:
    """Mean over all targets of the unseen documents, each read alone."""
    losses = []
    for item in UNSEEN:
        document = encode_document(item, tokenizer, max_tokens=100)
        logits_TV = lm(input_ids=document.ids_T[None]).logits[0]
        losses.append(torch.nn.functional.cross_entropy(logits_TV, document.targets_T, reduction="none"))
    return torch.cat([part[part > 0] for part in losses]).mean().item()


def test_the_first_and_last_loss_are_means_over_the_same_heldout_documents(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    metrics = _train(tokenizer, tmp_path / "a", SEEN)
    with torch.no_grad():
        trained = Qwen2ForCausalLM.from_pretrained(tmp_path / "a", dtype=torch.float32)
        assert metrics["loss_last"] == pytest.approx(_loss_of(trained, tokenizer), abs=1e-4)
    # What it learns from changes the last loss alone.
    other = _train(tokenizer, tmp_path / "b", ["digits digits digits"])
    assert other["loss_first"] == metrics["loss_first"]
    assert other["loss_last"] != metrics["loss_last"]


def test_a_loss_of_the_language_model_that_is_not_finite_names_the_step_and_its_documents(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    # The first update makes the weights infinite, so the second step cannot go.
    message = r"step 1: the (loss|gradient norm) is not finite for documents '[37] red"
    with pytest.raises(NonFiniteLossError, match=message):
        _train(tokenizer, tmp_path, SEEN, lr=1e30)
    assert NonFiniteLossError.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_loss_of_the_vision_tower_that_is_not_finite_ends_the_stage_with_its_step_and_pictures(
    tmp_path: Path,
) -> None:
    stage = BaseStage(
        model=compose("tiny").model,
        config=BaseStageConfig(vision_steps=40, vision_batch_size=2, vision_lr=1e30),
        seed=0,
        heldout_fraction=0.25,
        out_dir=tmp_path / "out",
    )
    results = tmp_path / "results"
    with pytest.raises(SystemExit) as ended:
        train_vision(stage, results)
    assert ended.value.code == 2
    with pytest.raises(NonFiniteLossError, match="vision tower, step 1: the loss is not finite for pictures 0, 1;"):
        read_vision_results(results, 2)


def test_a_vision_process_that_was_killed_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match="ended with code -9"):
        read_vision_results(tmp_path / "missing", -9)
    # An exit with 2 of another origin left no message.
    with pytest.raises(RetryableError, match="ended with code 2"):
        read_vision_results(tmp_path / "missing", 2)


def test_results_of_the_vision_process_are_read(tmp_path: Path) -> None:
    (tmp_path / "results").write_text(json.dumps({"vision_cell_accuracy": 0.5}))
    assert read_vision_results(tmp_path / "results", 0) == {"vision_cell_accuracy": 0.5}
