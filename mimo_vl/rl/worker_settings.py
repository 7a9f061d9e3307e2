"""What a rollout or trainer process needs to build its part: folders and configuration, all picklable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.rl import RlConfig
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.rl.prompts import PromptLibrary
from mimo_vl.vocabulary import RlFamily


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """`policy_dir`: the SFT model with its tokenizer files. `datasets_dir`: holds `rl-<family>`.

    `rollout_threads`, `trainer_threads`: CPU threads of each such process; rollout and update take turns, so both may
    use all cores. `scratch_dir`: for files nobody needs afterwards.
    """

    policy_dir: Path
    datasets_dir: Path
    rl: RlConfig
    processing: ProcessingConfig
    scratch_dir: Path
    rollout_threads: int = 1
    trainer_threads: int = 1
    use_gpu: bool = False

    @property
    def families(self) -> tuple[RlFamily, ...]:
        return tuple(sorted(family for family, weight in self.rl.family_weights.items() if weight > 0))

    def build_encoder(self) -> SampleEncoder:
        return SampleEncoder(load_tokenizer(self.policy_dir), self.processing)

    def build_prompts(self, encoder: SampleEncoder) -> PromptLibrary:
        return PromptLibrary(self.datasets_dir, self.families, encoder)
