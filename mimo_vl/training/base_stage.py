"""The `base` stage: tokenizer first, then vision tower and language model side by side, then the assembled base model.

The tower trains in a child process with one thread. The language model takes four times as long: it has two threads
from the start, 1.4 times as fast as one when the tower is done, with the same bits. Both numbers are fixed, whatever
the machine has. A pretrained language model brings its tokenizer along; then the tower is all that trains.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from mimo_vl.config.model import ModelConfig
from mimo_vl.config.training import BaseStageConfig
from mimo_vl.data.pipelines.base import language_corpus, train_tokenizer
from mimo_vl.data.pipelines.curate import build_studios
from mimo_vl.errors import EXIT_DONE, NonFiniteLossError, RetryableError
from mimo_vl.model.assemble import assemble
from mimo_vl.model.checkpoint import save_model
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.training.base_language import model_token_ids, train_language_model
from mimo_vl.training.base_vision import train_vision_tower
from mimo_vl.training.tokenizer_files import copy_tokenizer
from mimo_vl.vocabulary import Split

TOKENIZER, LANGUAGE, VISION, MODEL = "tokenizer", "language_model", "vision", "model"

_LANGUAGE_THREADS, _TOWER_THREADS = 2, 1
# A sixth are short texts, the rest transcripts, as in the corpus; read in half a second.
_NUM_HELDOUT_DOCUMENTS = 256

Report = Callable[[int, int, float], None]


@dataclass(frozen=True, kw_only=True)
class BaseStage:
    """What both processes need."""

    model: ModelConfig
    config: BaseStageConfig
    seed: int
    heldout_fraction: float
    out_dir: Path
    language_path: Path | None = None
    """GGUF file of a pretrained language model with its tokenizer; None = both are made here."""

    def run(self, report: Report, scratch: Path) -> dict[str, float]:
        """Write the artifact's folders; `report(step, total, loss)` follows the language model, or the tower alone."""
        if self.language_path is None:
            metrics = self._train_both(report, scratch)
        else:
            metrics = self._train_tower_for(self.language_path, report)
        self._assemble()
        report(self._num_reports, self._num_reports, 0.0)
        return metrics

    @property
    def _num_reports(self) -> int:
        """Steps that are reported, and the assembly."""
        return 1 + (self.config.language_steps if self.language_path is None else self.config.vision_steps)

    def _train_both(self, report: Report, scratch: Path) -> dict[str, float]:
        results = scratch / "vision-metrics.json"
        child = multiprocessing.get_context("spawn").Process(target=train_vision, args=(self, results), daemon=True)
        child.start()
        try:
            metrics = self._train_language(report)
            child.join()
        finally:
            if child.is_alive():
                child.terminate()
                child.join()
        return metrics | read_vision_results(results, child.exitcode)

    def _train_tower_for(self, language_path: Path, report: Report) -> dict[str, float]:
        from mimo_vl.model.importers.gguf_tokenizer import read_gguf_tokenizer  # imports gguf, which only this needs

        torch.set_num_threads(_TOWER_THREADS)
        read_gguf_tokenizer(language_path).save(self.out_dir / TOKENIZER)
        metrics = _train_tower(self, lambda step, _, loss: report(step, self._num_reports, loss))
        return {**metrics, "steps": float(self.config.vision_steps)}

    def _train_language(self, report: Report) -> dict[str, float]:
        torch.set_num_threads(_LANGUAGE_THREADS)
        studios = build_studios(seed=self.seed, heldout_fraction=self.heldout_fraction)
        tokenizer = train_tokenizer(studios[Split.TRAIN], seed=self.seed, vocab_size=self.config.vocab_size)
        tokenizer.save(self.out_dir / TOKENIZER)
        documents, heldout = (language_corpus(studios[split], seed=self.seed) for split in (Split.TRAIN, Split.HELDOUT))
        return train_language_model(
            self.model,
            self.config,
            documents,
            tokenizer,
            self.out_dir / LANGUAGE,
            heldout=heldout[:_NUM_HELDOUT_DOCUMENTS],
            seed=self.seed,
            on_step=lambda step, _, loss: report(step, self._num_reports, loss),
        )

    def _assemble(self) -> None:
        tokenizer = load_tokenizer(self.out_dir / TOKENIZER)
        model = assemble(
            self.model,
            vocab_size=tokenizer.vocab_size,
            language_path=self.language_path or self.out_dir / LANGUAGE,
            vision_path=self.out_dir / VISION,
            token_ids=model_token_ids(tokenizer),
            seed=self.seed,
        )
        save_model(model, self.out_dir / MODEL)
        copy_tokenizer(self.out_dir / TOKENIZER, self.out_dir / MODEL)


def train_vision(stage: BaseStage, results: Path) -> None:
    """The child process: metrics to `results`; or the message of a NonFiniteLossError, and its exit code."""
    torch.set_num_threads(_TOWER_THREADS)
    try:
        metrics = _train_tower(stage, lambda *_: None)
    except NonFiniteLossError as error:
        results.write_text(str(error), encoding="utf-8")
        sys.exit(error.exit_code)
    results.write_text(json.dumps(metrics), encoding="utf-8")


def _train_tower(stage: BaseStage, on_step: Report) -> dict[str, float]:
    studio = build_studios(seed=stage.seed, heldout_fraction=stage.heldout_fraction)[Split.TRAIN]
    return train_vision_tower(
        stage.model,
        stage.config,
        studio,
        stage.out_dir / VISION,
        seed=stage.seed,
        on_step=on_step,
    )


def read_vision_results(results: Path, exit_code: int | None) -> dict[str, float]:
    """What the child process left.

    Raises:
        NonFiniteLossError: the child's own.
        RetryableError: it ended without results.
    """
    if exit_code == NonFiniteLossError.exit_code and results.is_file():
        raise NonFiniteLossError(f"vision tower, {results.read_text(encoding='utf-8')}")
    if exit_code != EXIT_DONE:
        raise RetryableError(f"the vision tower's process ended with code {exit_code}; see its output above")
    metrics: dict[str, float] = json.loads(results.read_text(encoding="utf-8"))
    return metrics
