"""Everything MORL reads, tiny and random: a policy folder, a reward model folder and text prompts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.rl import RlConfig
from mimo_vl.config.storage import StorageConfig
from mimo_vl.config.training import CheckpointConfig
from mimo_vl.data.record import Record
from mimo_vl.data.step import Tally
from mimo_vl.data.writers.dataset import seal_dataset
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.model.checkpoint import save_model
from mimo_vl.model.reward_head import RewardModel, save_reward_model
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.manifest import InputRef
from mimo_vl.schema.sample import Message, Sample, TextPart
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.attempt_files import AttemptFiles
from mimo_vl.storage.local import LocalStore
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily, Split
from tests.fakes.tiny_vlm import build_model

NUM_PROMPTS = 12
_ARTIFACTS = ("policy", "reward", "prompts")


@dataclass(frozen=True)
class RlWorld:
    """Folders of three artifacts: `policy` and `reward` hold `model/`, `prompts` holds `datasets/`."""

    root: Path

    def publish(self, store: ArtifactStore) -> dict[str, InputRef]:
        """The artifacts in a store, by name of the folder."""
        refs = {}
        for name in _ARTIFACTS:
            manifest = publish_directory(
                store, f"made/{name}", self.root / name, stage=name, attempt=1, run_id="made", stage_key="k"
            )
            refs[name] = InputRef(uri=store.uri(f"made/{name}"), digest=manifest.content_digest)
        return refs

    @property
    def reward_model_dir(self) -> Path:
        return self.root / "reward" / "model"

    def settings(self, out: Path, scratch: Path, num_steps: int) -> WorkerSettings:
        """For an attempt whose folder is `out`, with the artifacts in a store beside the world."""
        refs = {name: InputRef(uri=(self.root / "store" / "made" / name).as_uri(), digest="") for name in _ARTIFACTS}
        rl = RlConfig(
            family_weights={RlFamily.PREFERENCE_TEXT: 1.0},
            prompts_per_step=3,
            group_size=4,
            num_steps=num_steps,
            lr=1e-3,
            max_new_tokens=8,
            num_micro_batches=2,
            num_rollout_workers=2,
            call_timeout_s=480.0,
            checkpoint=CheckpointConfig(every_steps=1),
        )
        return WorkerSettings(
            files=AttemptFiles(
                root_uri=out.as_uri(), prefix="", storage=StorageConfig(), scratch=partial(Path, scratch)
            ),
            policy=refs["policy"],
            prompts=refs["prompts"],
            rl=rl,
            processing=ProcessingConfig(min_pixels=784, max_pixels=50176),
            scratch=partial(Path, scratch),
        )


def build_rl_world(root: Path) -> RlWorld:
    """Artifacts in folders, and published in `root/store`."""
    texts = [f"say {word} twice" for word in ("red", "blue", "green", "one", "two", "three", "up", "down")]
    tokenizer = train_bpe(texts * 4, vocab_size=320)
    end = tokenizer.special_ids.turn_end
    policy, reward = root / "policy" / "model", root / "reward" / "model"
    save_model(build_model(0, vocab_size=tokenizer.vocab_size, end_token=end), policy)
    reward_model = RewardModel(build_model(1, vocab_size=tokenizer.vocab_size, end_token=end))
    torch.nn.init.normal_(reward_model.head.weight, std=0.5)
    save_reward_model(reward_model, reward, kind="text")
    for folder in (policy, reward):
        tokenizer.save(folder)
    write_prompts(root / "prompts" / "datasets" / f"rl-{RlFamily.PREFERENCE_TEXT}", texts)
    world = RlWorld(root)
    world.publish(LocalStore(root / "store"))
    return world


def write_prompts(folder: Path, texts: list[str], count: int = NUM_PROMPTS) -> None:
    """A dataset of `count` text prompts, named prompt-0, prompt-1, ..."""
    writer = ShardWriter(folder, 0)
    for number in range(count):
        text = f"{texts[number % len(texts)]} {number}"
        sample = Sample(
            id=f"prompt-{number}",
            data_type=DataType.INSTRUCTION,
            language=Language.EN,
            split=Split.TRAIN,
            messages=(Message(role="user", parts=(TextPart(text=text),)),),
            task=RewardTask.PREFERENCE_TEXT,
            family=RlFamily.PREFERENCE_TEXT,
        )
        writer.write(Record(sample=sample), num_tokens=10, num_patches=0)
    seal_dataset(folder, folder.name, [writer.close(Tally(seen=count, kept=count))])
