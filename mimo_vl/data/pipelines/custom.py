"""Which datasets a user's own data become, and how each is made: one shard per dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimo_vl.data.custom.division import divide
from mimo_vl.data.custom.folder import CustomItem
from mimo_vl.data.custom.record import to_draft
from mimo_vl.data.pipelines.recipe import Form, quality_steps
from mimo_vl.data.record import Record
from mimo_vl.data.step import Tally, chain
from mimo_vl.data.synthesis.draft import to_prompt, to_training
from mimo_vl.data.writers.dataset import read_marker
from mimo_vl.data.writers.index import ShardMarker
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.vocabulary import DataType, Split

_SHARD = 0


@dataclass(frozen=True, kw_only=True)
class CustomRecipe:
    """Lines are candidates in their order; none is drawn twice."""

    name: str
    split: Split
    form: Form
    items: Sequence[CustomItem]

    def candidates(self) -> Iterator[Record]:
        convert = to_training if self.form is Form.TRAINING else to_prompt
        for item in self.items:
            yield convert(to_draft(item), sample_id=f"{self.name}-{item.number:06d}", split=self.split)


def custom_recipes(items: Sequence[CustomItem], *, seed: int, heldout_fraction: float) -> list[CustomRecipe]:
    """Training and held-out samples; lines with a reference also as RL prompts and evaluation items."""
    parts = divide(items, seed=seed, heldout_fraction=heldout_fraction)
    train, heldout = parts[Split.TRAIN], parts[Split.HELDOUT]
    chosen = [
        ("train", Split.TRAIN, Form.TRAINING, train),
        ("heldout", Split.HELDOUT, Form.TRAINING, heldout),
        ("rl", Split.TRAIN, Form.PROMPT, [i for i in train if i.line.reference is not None]),
        ("eval", Split.HELDOUT, Form.PROMPT, [i for i in heldout if i.line.reference is not None]),
    ]
    return [
        CustomRecipe(name=f"{use}-{DataType.CUSTOM}", split=split, form=form, items=members)
        for use, split, form, members in chosen
        if members
    ]


def dropped_lines(items: Sequence[CustomItem]) -> dict[str, int]:
    """How many lines the filters drop as training samples, by reason."""
    recipe = CustomRecipe(name=DataType.CUSTOM, split=Split.TRAIN, form=Form.TRAINING, items=items)
    tally = Tally()
    for _ in chain(recipe.candidates(), quality_steps(), tally):
        pass
    return dict(sorted(tally.dropped.items()))


def make_custom_shard(encoder: SampleEncoder, recipe: CustomRecipe, directory: Path) -> ShardMarker:
    """Write all records that pass the filters, or return the marker of the shard that is already complete."""
    done = read_marker(directory, _SHARD)
    if done is not None:
        return done
    tally = Tally()
    writer = ShardWriter(directory, _SHARD)
    for record in chain(recipe.candidates(), quality_steps(), tally):
        num_tokens, num_patches = encoder.measure(record.sample)
        writer.write(record, num_tokens=num_tokens, num_patches=num_patches)
        tally.kept += 1
    return writer.close(tally)
