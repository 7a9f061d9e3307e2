"""What the first training stage reads, tiny and random: a base model and text documents, as artifacts of a store."""

from __future__ import annotations

from pathlib import Path

from mimo_vl.data.record import Record
from mimo_vl.data.step import Tally
from mimo_vl.data.writers.dataset import seal_dataset
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.model.checkpoint import save_model
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.schema.manifest import InputRef
from mimo_vl.schema.sample import Message, Sample, TextPart
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.vocabulary import DataType, Language, Split, StageName
from tests.fakes.tiny_vlm import build_model

_WORDS = ("red", "blue", "green", "one", "two", "three", "up", "down")
# At least as long as any of the documents.
_NUM_TOKENS = 48

# Of the composed tiny profile: few cheap steps on these documents, a checkpoint after every second one.
OVERRIDES = (
    "tracking.kind='null'",
    "stages.projector-warmup.trainable=[projector,language]",
    "stages.projector-warmup.mixture={caption:0.0,text:1.0}",
    "stages.projector-warmup.sequence_length=128",
    "stages.projector-warmup.heldout_samples=4",
    "stages.projector-warmup.checkpoint={every_steps:2,keep_last:1}",
)


def publish_training_inputs(folder: Path, stores: list[ArtifactStore]) -> list[dict[str, InputRef]]:
    """The same artifacts in each store."""
    tokenizer = train_bpe([f"say {word} twice" for word in _WORDS] * 4, vocab_size=320)
    end = tokenizer.special_ids.turn_end
    save_model(build_model(vocab_size=tokenizer.vocab_size, end_token=end), folder / "base" / "model")
    tokenizer.save(folder / "base" / "model")
    for split in Split:
        _write_documents(folder / "curate" / "datasets" / f"{split}-text", split)
    return [
        {name: _publish(store, name, folder / name) for name in (StageName.BASE, StageName.CURATE)} for store in stores
    ]


def _publish(store: ArtifactStore, stage: StageName, folder: Path) -> InputRef:
    manifest = publish_directory(store, f"made/{stage}", folder, stage=stage, attempt=1, run_id="made", stage_key="k")
    return InputRef(uri=store.uri(f"made/{stage}"), digest=manifest.content_digest)


def _write_documents(folder: Path, split: Split) -> None:
    writer = ShardWriter(folder, 0)
    for number, word in enumerate(_WORDS):
        sample = Sample(
            id=f"{split}-{number}",
            data_type=DataType.TEXT,
            language=Language.EN,
            split=split,
            messages=(
                Message(role="user", parts=(TextPart(text=f"say {word}"),)),
                Message(role="assistant", parts=(TextPart(text=f"{word} {word}"),)),
            ),
        )
        writer.write(Record(sample=sample), num_tokens=_NUM_TOKENS, num_patches=0)
    seal_dataset(folder, folder.name, [writer.close(Tally(seen=len(_WORDS), kept=len(_WORDS)))])
