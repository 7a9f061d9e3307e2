"""Read what the stages of a run published into one value: the material of summary.json and of a report's results."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import DigestMismatchError
from mimo_vl.schema.evaluation import Evaluation, ItemResult
from mimo_vl.schema.manifest import Manifest
from mimo_vl.storage import ArtifactStore, store_for_uri
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import OUTPUT_DIR, join
from mimo_vl.vocabulary import StageName

logger = logging.getLogger(__name__)

EVALUATION_FILE = "evaluation.json"
_ORDER = {str(name): position for position, name in enumerate(StageName)}


@dataclass(frozen=True, kw_only=True)
class StageOutput:
    """One finished stage: its manifest, the artifact's address, and how a file of it is read."""

    manifest: Manifest
    uri: str
    read_file: Callable[[str], bytes]

    def read(self, path: str) -> bytes | None:
        """Bytes of a file, checked against the manifest; None if the artifact has no such file."""
        entry = next((f for f in self.manifest.files if f.path == path), None)
        if entry is None:
            return None
        data = self.read_file(path)
        found = hashlib.sha256(data).hexdigest()
        if found != entry.sha256.removeprefix("sha256:"):
            raise DigestMismatchError(f"{self.uri}: {path} has sha256 {found}, its manifest says {entry.sha256}")
        return data


def open_output(uri: str, config: StorageConfig | None = None) -> StageOutput:
    """The artifact at `uri`.

    Raises:
        InputError: it has no manifest, or one that cannot be read.
    """
    store = store_for_uri(uri, config)
    return replace(open_store_output(store, "", read_manifest(store, "")), uri=uri)


def open_store_output(store: ArtifactStore, prefix: str, manifest: Manifest) -> StageOutput:
    return StageOutput(
        manifest=manifest,
        uri=store.uri(prefix),
        read_file=lambda path: store.get_bytes(join(prefix, OUTPUT_DIR, path))[0],
    )


@dataclass(frozen=True, kw_only=True)
class RunMaterial:
    """Stages in pipeline order; `examples` are scored items of the last model."""

    stages: Mapping[str, StageOutput]
    evaluation: Evaluation | None = None
    examples: Mapping[str, Sequence[ItemResult]] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def collect(stages: Mapping[str, StageOutput], *, examples_per_family: int = 3) -> RunMaterial:
    """Works with whatever stages there are: the report of a failed run shows what was reached."""
    ordered = {name: stages[name] for name in sorted(stages, key=lambda n: (_ORDER.get(n, len(_ORDER)), n))}
    output = ordered.get(StageName.EVALUATE)
    data = output.read(EVALUATION_FILE) if output else None
    if output is None or data is None:
        return RunMaterial(stages=ordered)
    evaluation = Evaluation.from_json(data)
    return RunMaterial(
        stages=ordered,
        evaluation=evaluation,
        examples=_examples(output, evaluation, examples_per_family),
        pictures={p.path: picture for p in evaluation.pictures if (picture := output.read(p.path)) is not None},
    )


def _examples(output: StageOutput, evaluation: Evaluation, count: int) -> dict[str, list[ItemResult]]:
    """Evenly spaced through each file: chosen by position, never by score."""
    examples = {}
    for family in evaluation.families:
        data = output.read(f"results/{evaluation.models[-1]}/{family.name}.jsonl") or b""
        lines = data.splitlines()
        chosen = [lines[k * len(lines) // count] for k in range(min(count, len(lines)))]
        examples[family.name] = [ItemResult.from_json(line) for line in chosen]
    return examples
