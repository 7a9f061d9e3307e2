"""What the `base` stage learns from: texts for tokenizer and language model, digit cells for the vision tower.

Training split only. The language model reads prose, statements and transcripts of pictures, never a chat turn:
answering is left to the stages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mimo_vl.data.synthesis.catalogue import TRAINING
from mimo_vl.data.synthesis.studio import CELL, Studio
from mimo_vl.data.synthesis.text import Transcript, statements, transcript
from mimo_vl.data.synthesis.wording import every_prompt
from mimo_vl.processing.images import patchify
from mimo_vl.processing.tokenizer import Tokenizer, train_bpe
from mimo_vl.schema.sample import TextPart
from mimo_vl.vocabulary import DataType, Language

# Label of a cell without a digit.
BACKGROUND = 10
NUM_CELL_CLASSES = 11
_CELLS_PER_SIDE = 2
_NUM_STATEMENT_TEXTS = 1500
_NUM_TRANSCRIPTS = 8000
_NUM_ANSWERS_PER_TYPE = 100
# Drafts are drawn as well, which costs more than counting their texts several times.
_ANSWER_WEIGHT = 3


@dataclass(frozen=True, kw_only=True)
class CellBatch:
    """B pictures of 2 x 2 cells (56 x 56 px).

    patches_PC: [B * 16, 1176], in the vision tower's order: four neighbours in a row are one cell.
    grid_thw_N3: [B, 3], each (1, 4, 4).
    labels_K: [B * 4], digit of each cell in the same order, or BACKGROUND.
    """

    patches_PC: npt.NDArray[np.float32]
    grid_thw_N3: npt.NDArray[np.int64]
    labels_K: npt.NDArray[np.int64]


def digit_cells(studio: Studio, *, seed: int, step: int, batch_size: int) -> CellBatch:
    """Pictures like those of the composites; a pure function of (seed, step)."""
    patches, labels = [], []
    for i in range(batch_size):
        rng = np.random.default_rng([seed, 0xCE11, step, i])
        canvas, _ = studio.background(rng, _CELLS_PER_SIDE * CELL, _CELLS_PER_SIDE * CELL)
        cells = np.full(_CELLS_PER_SIDE**2, BACKGROUND, dtype=np.int64)
        if rng.random() < 0.2:
            digit = studio.digit(rng)
            studio.write(canvas, rng, digit, (0, 0, 2 * CELL, 2 * CELL))
            cells[:] = digit.label
        else:
            for cell in np.flatnonzero(rng.random(len(cells)) < 0.6).tolist():
                digit = studio.digit(rng)
                x, y = cell % _CELLS_PER_SIDE * CELL, cell // _CELLS_PER_SIDE * CELL
                studio.write(canvas, rng, digit, (x, y, x + CELL, y + CELL), jitter=2)
                cells[cell] = digit.label
        patches.append(patchify(canvas.as_pixels()[None])[0])
        labels.append(cells)
    grid = np.tile(np.array([1, 4, 4], dtype=np.int64), (batch_size, 1))
    return CellBatch(patches_PC=np.concatenate(patches), grid_thw_N3=grid, labels_K=np.concatenate(labels))


def language_corpus(studio: Studio, *, seed: int) -> list[str | Transcript]:
    """Documents of the studio's split: every real paragraph, statements and transcripts in both languages; shuffled."""
    rng = np.random.default_rng([seed, 0x7E47])
    documents: list[str | Transcript] = [p.text for p in studio.sources.paragraphs]
    languages = [Language.EN if k % 2 else Language.ZH for k in range(_NUM_STATEMENT_TEXTS)]
    documents += [statements(studio, rng, language) for language in languages]
    documents += [transcript(studio, rng, languages[k % 2]) for k in range(_NUM_TRANSCRIPTS)]
    return [documents[int(i)] for i in rng.permutation(len(documents))]


def train_tokenizer(studio: Studio, *, seed: int, vocab_size: int) -> Tokenizer:
    """From the language corpus, all prompts and answers of every data type, so that fixed wrappers are cheap."""
    texts = [
        part
        for document in language_corpus(studio, seed=seed)
        for part in ([document] if isinstance(document, str) else [document.cells, document.text])
    ]
    texts += every_prompt() * 20
    texts += ["user\n", "assistant\n", "system\n"] * 500
    for data_type in TRAINING:
        for k in range(_NUM_ANSWERS_PER_TYPE):
            rng = np.random.default_rng([seed, 0xB9E, list(DataType).index(data_type), k])
            make = TRAINING[data_type][k % len(TRAINING[data_type])][0]
            draft = make(studio, rng, Language.EN if rng.random() < 0.5 else Language.ZH)
            parts = [part.text for part in draft.question if isinstance(part, TextPart)]
            texts += [*parts, draft.answer or ""] * _ANSWER_WEIGHT
    return train_bpe(texts, vocab_size=vocab_size)
