"""What does it take to go on after a crash as if nothing had happened? The driver's part of a checkpoint.

A checkpoint of step k holds policy and optimizer (written by the trainer), and here: the rollout state, and the lines
of metrics.jsonl and rollouts.jsonl so far. Random numbers need nothing: they are a function of (seed, step, prompt,
sample). Rollouts in flight are dropped; the same ones are drawn again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mimo_vl.canonical import canonical_json
from mimo_vl.errors import CorruptDataError
from mimo_vl.observability.metrics import ANSWER_TOKENS, REWARD
from mimo_vl.rl.rollout_state import RolloutState
from mimo_vl.schema.record import Record
from mimo_vl.schema.rollout import ScoredGroup
from mimo_vl.storage.checkpoints import newest_complete, verify_checkpoint

METRICS_FILE, ROLLOUTS_FILE = "metrics.jsonl", "rollouts.jsonl"
_STATE_FILE = "driver.json"
POLICY_DIR, EXPORT_DIR = "policy", "model"


class DriverState(Record):
    """After `step` complete steps; the policy has weight version `step`."""

    step: int = 0
    rollout: RolloutState = RolloutState()


@dataclass(frozen=True, kw_only=True)
class ResumePoint:
    """A sealed checkpoint as any node finds it, and the number of steps it holds."""

    uri: str
    version: int


class RunLog:
    """The two files that a run leaves line by line; deterministic, so no times in them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.num_answer_tokens = 0
        """Over all steps so far, those before a resume included."""
        directory.mkdir(parents=True, exist_ok=True)

    def restore(self, checkpoint: Path | None) -> None:
        """Start with the lines of a checkpoint, or empty: lines after it were written by steps that never counted."""
        for name in (METRICS_FILE, ROLLOUTS_FILE):
            if checkpoint is None:
                (self._directory / name).write_bytes(b"")
            else:
                shutil.copyfile(checkpoint / name, self._directory / name)
        self.num_answer_tokens = sum(int(line.get(ANSWER_TOKENS.name, 0)) for line in self._metrics())

    def write_step(self, step: int, metrics: dict[str, float], groups: list[ScoredGroup]) -> None:
        self.num_answer_tokens += int(metrics.get(ANSWER_TOKENS.name, 0))
        self._append(METRICS_FILE, canonical_json({"step": step, **metrics}))
        for group in groups:
            self._append(ROLLOUTS_FILE, group.to_json())

    def copy_to(self, checkpoint: Path) -> None:
        for name in (METRICS_FILE, ROLLOUTS_FILE):
            shutil.copyfile(self._directory / name, checkpoint / name)

    def summary(self) -> dict[str, float]:
        """Number of steps, tokens of all answers trained on, mean reward of the first and last tenth of the steps."""
        lines = self._metrics()
        rewards = [line[REWARD.name] for line in lines if REWARD.name in line]
        count = max(1, len(rewards) // 10)
        return {
            "steps": float(len(lines)),
            "tokens": float(self.num_answer_tokens),
            "reward_first": fmean(rewards[:count]) if rewards else 0.0,
            "reward_last": fmean(rewards[-count:]) if rewards else 0.0,
        }

    def _metrics(self) -> list[dict[str, float]]:
        return [json.loads(line) for line in (self._directory / METRICS_FILE).read_bytes().splitlines()]

    def _append(self, name: str, line: bytes) -> None:
        with (self._directory / name).open("ab") as file:
            file.write(line + b"\n")


def policy_dir(checkpoint: Path) -> Path:
    return checkpoint / POLICY_DIR


def write_state(checkpoint: Path, state: DriverState) -> None:
    (checkpoint / _STATE_FILE).write_bytes(state.to_json())


def read_state(checkpoint: Path) -> DriverState:
    """The state; the caller has verified the checkpoint's digests."""
    try:
        return DriverState.from_json((checkpoint / _STATE_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptDataError(f"checkpoint {checkpoint}: {_STATE_FILE} cannot be read: {error}") from error


def newest_verified(folders: Sequence[Path | None], stage_key: str) -> Path | None:
    """The newest complete checkpoint of all attempts, its digests verified; None without any."""
    found = [path for f in folders if f is not None and (path := newest_complete(f)) is not None]
    if not found:
        return None
    newest = max(found, key=lambda path: int(path.name.removeprefix("step-")))
    verify_checkpoint(newest, stage_key=stage_key)
    return newest
