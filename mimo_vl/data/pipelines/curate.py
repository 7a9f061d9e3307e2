"""Which datasets curation writes, and how one shard of them is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from mimo_vl.config.data import TinySynthesisConfig
from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.data.custom.folder import open_folder
from mimo_vl.data.pipelines.custom import CustomRecipe, custom_recipes, make_custom_shard
from mimo_vl.data.pipelines.recipe import Form, Recipe, quality_steps
from mimo_vl.data.sources import load_sources
from mimo_vl.data.split import split_sources
from mimo_vl.data.step import Tally, chain
from mimo_vl.data.synthesis.catalogue import EVALUATION, RL, TRAINING, Blend
from mimo_vl.data.synthesis.studio import Studio
from mimo_vl.data.writers.dataset import read_marker
from mimo_vl.data.writers.index import ShardMarker
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.errors import InputError
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.vocabulary import VERIFIABLE_FAMILIES, DataType, RlFamily, Split


@dataclass(frozen=True, kw_only=True)
class CustomSource:
    """A user's own data. `folder` holds what `mimo data add` published."""

    folder: Path
    heldout_fraction: float


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What every shard task needs; small, so that it travels to worker processes."""

    synthesis: TinySynthesisConfig | None
    processing: ProcessingConfig
    seed: int
    tokenizer_dir: Path
    custom: CustomSource | None = None

    def __hash__(self) -> int:
        return hash((self.seed, self.tokenizer_dir))


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """`size`: records wanted; own data give what they have. `known`: digests of records of the other shards."""

    recipe: Recipe | CustomRecipe
    number: int
    size: int
    directory: Path
    known: frozenset[str] = frozenset()


def shard_tasks_of(workshop: Workshop, datasets_dir: Path) -> list[ShardTask]:
    """All shards of all datasets, in the order in which they are written."""
    tasks: list[ShardTask] = []
    if workshop.synthesis is not None:
        for recipe in recipes(workshop.synthesis):
            directory = datasets_dir / recipe.name
            tasks += shard_tasks(recipe, shard_size=workshop.synthesis.shard_size, directory=directory)
    for own in custom_datasets(workshop):
        tasks.append(ShardTask(recipe=own, number=0, size=len(own.items), directory=datasets_dir / own.name))
    return tasks


def custom_datasets(workshop: Workshop) -> list[CustomRecipe]:
    """Raises InputError for lines and pictures that are wrong."""
    if workshop.custom is None:
        return []
    fraction = workshop.custom.heldout_fraction
    return custom_recipes(open_folder(workshop.custom.folder), seed=workshop.seed, heldout_fraction=fraction)


def recipes(config: TinySynthesisConfig) -> list[Recipe]:
    """All datasets, in the order in which they are written."""
    found = [_training(t, config.samples_per_type[t], Split.TRAIN) for t in DataType if t in config.samples_per_type]
    found += [_training(t, config.heldout_per_type[t], Split.HELDOUT) for t in DataType if t in config.heldout_per_type]
    found += [_rl(f, config.rl_prompts_per_family[f]) for f in RlFamily if f in config.rl_prompts_per_family]
    found += [_evaluation(f, RL[f], config.eval_items_rl_family) for f in VERIFIABLE_FAMILIES]
    found += [_evaluation(t, blend, config.eval_items_other) for t, blend in EVALUATION.items()]
    found += [
        _queries("text", RlFamily.PREFERENCE_TEXT, config.preference_queries),
        _queries("multimodal", RlFamily.PREFERENCE_MULTIMODAL, config.preference_queries),
    ]
    return [recipe for recipe in found if recipe.num_samples > 0]


def shard_tasks(recipe: Recipe, *, shard_size: int, directory: Path) -> list[ShardTask]:
    starts = range(0, recipe.num_samples, shard_size)
    sizes = [min(shard_size, recipe.num_samples - start) for start in starts]
    return [ShardTask(recipe=recipe, number=i, size=size, directory=directory) for i, size in enumerate(sizes)]


def make_shard(workshop: Workshop, task: ShardTask) -> ShardMarker:
    """Write one shard, or return the marker of the one that is already complete.

    Raises:
        InputError: the generators cannot make that many distinct records.
    """
    done = read_marker(task.directory, task.number)
    if done is not None:
        return done
    recipe, encoder = task.recipe, _encoder(workshop)
    if isinstance(recipe, CustomRecipe):
        return make_custom_shard(encoder, recipe, task.directory)
    studios = _studios(workshop)
    # Those that replace duplicates are hard to find: as many candidates are looked at as for all shards.
    size = task.size + len(task.known)
    candidates = recipe.candidates(studios[recipe.split], seed=workshop.seed, shard=task.number, size=size)
    tally = Tally()
    writer = ShardWriter(task.directory, task.number)
    for record in islice(chain(candidates, quality_steps(task.known), tally), task.size):
        num_tokens, num_patches = encoder.measure(record.sample)
        writer.write(record, num_tokens=num_tokens, num_patches=num_patches)
        tally.kept += 1
    if tally.kept < task.size:
        raise InputError(
            f"dataset {recipe.name}: {tally.kept} distinct records, wanted {task.size} ({dict(tally.dropped)}); "
            "lower the number of samples in data.synthesis"
        )
    return writer.close(tally)


@lru_cache(maxsize=2)
def _encoder(workshop: Workshop) -> SampleEncoder:
    return SampleEncoder(load_tokenizer(workshop.tokenizer_dir), workshop.processing)


@lru_cache(maxsize=2)
def _studios(workshop: Workshop) -> dict[Split, Studio]:
    assert workshop.synthesis is not None
    return build_studios(seed=workshop.seed, heldout_fraction=workshop.synthesis.heldout_fraction)


def build_studios(*, seed: int, heldout_fraction: float) -> dict[Split, Studio]:
    """One studio per split; each sees the sources of its split only."""
    parts = split_sources(load_sources(), seed=seed, heldout_fraction=heldout_fraction)
    return {split: Studio(parts[split], split=split, seed=seed, heldout_fraction=heldout_fraction) for split in Split}


def _training(data_type: DataType, count: int, split: Split) -> Recipe:
    name = f"{split}-{data_type}"
    return Recipe(name=name, stream=name, split=split, form=Form.TRAINING, blend=TRAINING[data_type], num_samples=count)


def _rl(family: RlFamily, count: int) -> Recipe:
    """Preference prompts are the first of the queries: reward models and RL see the same set, as in the report."""
    streams = {RlFamily.PREFERENCE_TEXT: "queries-text", RlFamily.PREFERENCE_MULTIMODAL: "queries-multimodal"}
    name = f"rl-{family}"
    return Recipe(
        name=name,
        stream=streams.get(family, name),
        split=Split.TRAIN,
        form=Form.PROMPT,
        blend=RL[family],
        num_samples=count,
    )


def _evaluation(family: RlFamily | DataType, blend: Blend, count: int) -> Recipe:
    name = f"eval-{family}"
    return Recipe(name=name, stream=name, split=Split.HELDOUT, form=Form.PROMPT, blend=blend, num_samples=count)


def _queries(kind: str, family: RlFamily, count: int) -> Recipe:
    name = f"queries-{kind}"
    return Recipe(name=name, stream=name, split=Split.TRAIN, form=Form.PROMPT, blend=RL[family], num_samples=count)
