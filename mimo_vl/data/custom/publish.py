"""How a checked folder of own data becomes an artifact that is named by its digest, so that adding it twice is once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mimo_vl.data.custom.folder import CustomItem
from mimo_vl.data.custom.line import DATA_FILE
from mimo_vl.errors import ArtifactNotFoundError, PreconditionFailedError
from mimo_vl.schema.manifest import Manifest, content_digest
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.digests import describe_file
from mimo_vl.storage.layout import MANIFEST, OUTPUT_DIR, data_prefix, join

# Stands where the manifest of an output names its stage; also its name among the inputs of `curate`.
CUSTOM_DATA = "custom-data"


def publish_folder(store: ArtifactStore, folder: Path, items: Sequence[CustomItem]) -> Manifest:
    """Put data.jsonl and the pictures that it names into the store; its manifest comes last."""
    names = sorted({DATA_FILE, *(name for item in items for name in item.names)})
    files = tuple(describe_file(folder, name) for name in names)
    digest = content_digest(files)
    prefix = data_prefix(digest)
    try:
        return read_manifest(store, prefix, digest)
    except ArtifactNotFoundError:
        pass
    for entry in files:
        store.put_file(join(prefix, OUTPUT_DIR, entry.path), folder / entry.path)
    counts = {"samples": float(len(items)), "pictures": float(len(files) - 1)}
    manifest = Manifest(
        stage=CUSTOM_DATA, attempt=1, run_id="", stage_key="", content_digest=digest, files=files, metrics=counts
    )
    try:
        store.put_bytes(join(prefix, MANIFEST), manifest.to_json(), if_none_match=True)
    except PreconditionFailedError:
        # Somebody published the same files at the same time.
        return read_manifest(store, prefix, digest)
    return manifest
