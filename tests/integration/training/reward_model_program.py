"""One rank of a reward model that is trained three times: `python -m tests.integration.training.reward_model_program`.

Once without interruption; once told to stop in the middle; and once more from the checkpoint that was left then.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mimo_vl.config.compose import compose
from mimo_vl.errors import InterruptedAfterSaveError
from mimo_vl.model.checkpoint import save_model
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.schema.sample import AnswerModel, PreferencePair
from mimo_vl.storage.layout import step_dir
from mimo_vl.training.engine import start_distributed, stop_distributed
from mimo_vl.training.reward_model import run_reward_model
from mimo_vl.training.run_context import RunContext
from mimo_vl.training.world import World, barrier
from mimo_vl.vocabulary import StageName
from tests.fakes.checkpoints import complete
from tests.fakes.curation_world import prompt, write_dataset
from tests.fakes.tiny_vlm import build_model

STAGE = StageName.REWARD_MODEL_TEXT
NUM_QUERIES = {"train": 12, "heldout": 5}
PAIRS_PER_QUERY = 3
BATCH_PAIRS, NUM_EPOCHS = 4, 2
# Asked for after step 7, it ends after the step that has begun.
STOP_AFTER = 8


class Progress:
    """Rank 0 alone is told; it asks for the end so that training stops after the given step."""

    def __init__(self, stop_after: int | None) -> None:
        self._stop_after = stop_after
        self.is_stop_wanted = False
        self.losses: dict[int, float] = {}

    def __call__(self, step: int, total: int, unit: str = "steps", message: str = "", **metrics: float) -> None:
        self.losses[step] = metrics["loss"]
        self.is_stop_wanted = step + 1 == self._stop_after


class NoMetrics:
    def log_metrics(self, metrics: Any, step: int) -> None: ...


def write_inputs(folder: Path) -> None:
    """A base model, and pairs whose better answer is always `red`, whatever the query and its number."""
    tokenizer = train_bpe(["question red blue user assistant"] * 4, vocab_size=300)
    end = tokenizer.special_ids.turn_end
    save_model(build_model(vocab_size=tokenizer.vocab_size, end_token=end), folder / StageName.BASE / "model")
    tokenizer.save(folder / StageName.BASE / "model")
    made = folder / StageName.CURATE_RL
    num_train = NUM_QUERIES["train"]
    records = [prompt(f"query {i}") for i in range(sum(NUM_QUERIES.values()))]
    queries = {"train": records[:num_train], "heldout": records[num_train:]}
    write_dataset(made / "datasets" / "pairs-text", records)
    (made / "pairs").mkdir()
    for split, chosen in queries.items():
        lines = [
            PreferencePair(
                id=f"{record.sample.id}/{number}",
                prompt=record.sample,
                chosen=f"red {number}",
                rejected=f"blue {number}",
                chosen_by=AnswerModel.SFT,
                rejected_by=AnswerModel.BASE if number == 0 else AnswerModel.SFT,
                judge="colour",
            ).to_json()
            for record in chosen
            for number in range(PAIRS_PER_QUERY)
        ]
        (made / "pairs" / f"text-{split}.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def train(
    world: World, folder: Path, name: str, *, resume_from: Path | None = None, stop_after: int | None = None
) -> dict[str, Any]:
    """Metrics of the manifest and the losses of the steps that were taken."""
    out, progress = folder / name, Progress(stop_after)

    def seal(step: int, keep: int) -> None:
        if world.is_main:
            complete(out / "checkpoints" / step_dir(step), step=step, stage_key="key")

    for part in ("output", "checkpoints"):
        (out / part).mkdir(parents=True, exist_ok=True)
    overrides = [
        f"reward_models.{STAGE}.lr=1e-3",
        f"reward_models.{STAGE}.head_lr=1e-2",
        f"reward_models.{STAGE}.num_epochs={NUM_EPOCHS}",
        f"reward_models.{STAGE}.batch_pairs={BATCH_PAIRS}",
    ]
    context = RunContext(
        stage=STAGE,
        config=compose("tiny", overrides),
        stage_key="key",
        out_dir=out / "output",
        checkpoint_dir=out / "checkpoints",
        resume_from=resume_from,
        scratch_dir=out / "scratch",
        world=world,
        input_dir=lambda stage: folder / stage,
        progress=progress,
        tracker=NoMetrics(),
        seal=seal,
        should_stop=lambda: progress.is_stop_wanted,
    )
    try:
        return {"metrics": run_reward_model(context), "losses": progress.losses}
    except InterruptedAfterSaveError as error:
        return {"stopped": str(error), "losses": progress.losses}


def main() -> int:
    folder = Path(sys.argv[2])
    world = World(
        rank=int(os.environ["RANK"]),
        size=int(os.environ["WORLD_SIZE"]),
        local_rank=int(os.environ["LOCAL_RANK"]),
        local_size=int(os.environ["WORLD_SIZE"]),
    )
    start_distributed(world)
    if world.is_main:
        write_inputs(folder)
    barrier(world)
    found = {
        "whole": train(world, folder, "whole"),
        "first": train(world, folder, "first", stop_after=STOP_AFTER),
        "second": train(world, folder, "second", resume_from=folder / "first" / "checkpoints"),
    }
    if world.is_main:
        (folder / "found.json").write_text(json.dumps(found))
    stop_distributed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
