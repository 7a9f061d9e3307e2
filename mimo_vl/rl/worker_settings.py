"""What a rollout or trainer process needs to build its part on its own node: artifacts and configuration, picklable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.rl import RlConfig
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.rewards.media import MediaFolder
from mimo_vl.rl.prompts import PromptLibrary, write_media
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage.attempt_files import AttemptFiles
from mimo_vl.vocabulary import RlFamily


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """`policy`: artifact of the SFT model with its tokenizer files. `prompts`: artifact that holds `rl-<family>`.

    `rollout_threads`, `trainer_threads`: CPU threads of each such process; rollout and update take turns, so both may
    use all cores. `scratch`: folder of the node, for files nobody needs afterwards.
    """

    files: AttemptFiles
    policy: InputRef
    prompts: InputRef
    rl: RlConfig
    processing: ProcessingConfig
    scratch: Callable[[], Path]
    rollout_threads: int = 1
    trainer_threads: int = 1

    @property
    def families(self) -> tuple[RlFamily, ...]:
        return tuple(sorted(family for family, weight in self.rl.family_weights.items() if weight > 0))

    def policy_dir(self) -> Path:
        """On this node; see AttemptFiles.materialise."""
        return self.files.materialise(self.policy) / "model"

    def build_encoder(self) -> SampleEncoder:
        return SampleEncoder(load_tokenizer(self.policy_dir()), self.processing)

    def build_prompts(self, encoder: SampleEncoder) -> PromptLibrary:
        return PromptLibrary(self._datasets_dir(), self.families, encoder)

    def build_media(self) -> MediaFolder:
        """Media of the prompts that a reward model judges, on this node."""
        media = MediaFolder(self.scratch() / "media")
        write_media(self._datasets_dir(), RlFamily.PREFERENCE_MULTIMODAL, media)
        return media

    def _datasets_dir(self) -> Path:
        return self.files.materialise(self.prompts) / "datasets"
