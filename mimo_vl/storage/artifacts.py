"""How a folder becomes an artifact (manifest written last) and an artifact a verified local folder."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict, Unpack

from filelock import FileLock
from pydantic import ValidationError

from mimo_vl.errors import ArtifactNotFoundError, CorruptDataError, DigestMismatchError, InputError
from mimo_vl.schema.manifest import FileEntry, InputRef, Manifest, content_digest
from mimo_vl.storage.digests import file_sha256, verify_files
from mimo_vl.storage.layout import MANIFEST, OUTPUT_DIR, join
from mimo_vl.storage.store import ArtifactStore
from mimo_vl.storage.upload import join_entries, upload_files

logger = logging.getLogger(__name__)


class ManifestFields(TypedDict, total=False):
    """What the publisher says about an output, beside its files."""

    stage: str
    attempt: int
    run_id: str
    stage_key: str
    inputs: dict[str, InputRef]
    config_digest: str
    code_digest: str
    image: str
    image_digest: str
    metrics: dict[str, float]
    tracking: dict[str, str]
    started_at: str
    finished_at: str


def publish_directory(
    store: ArtifactStore,
    prefix: str,
    directory: Path,
    *,
    uploaded: Iterable[FileEntry] = (),
    **fields: Unpack[ManifestFields],
) -> Manifest:
    """Put every file of `directory` under `<prefix>/output/`, then create `<prefix>/manifest.json`.

    A folder that already lies there (file:// stores) is not copied. `uploaded`: files of the output that processes on
    other nodes have put there.

    Raises:
        PreconditionFailedError: the prefix has a manifest already.
    """
    if not directory.is_dir():
        raise InputError(f"nothing to publish: {directory} is not a folder")
    files = join_entries([upload_files(store, join(prefix, OUTPUT_DIR), directory), uploaded])
    manifest = Manifest(files=files, content_digest=content_digest(files), **fields)
    store.put_bytes(join(prefix, MANIFEST), manifest.to_json(), if_none_match=True)
    logger.info("published uri=%s digest=%s files=%d", store.uri(prefix), manifest.content_digest, len(files))
    return manifest


def read_manifest(store: ArtifactStore, prefix: str, expected_digest: str = "") -> Manifest:
    """The manifest of an artifact.

    Raises:
        ArtifactNotFoundError: there is none.
        CorruptDataError: it cannot be read.
        DigestMismatchError: it contradicts itself, or the artifact is not the expected one.
    """
    uri = store.uri(prefix)
    try:
        data, _ = store.get_bytes(join(prefix, MANIFEST))
    except ArtifactNotFoundError as error:
        raise ArtifactNotFoundError(f"artifact {uri} has no {MANIFEST}: never published, or deleted") from error
    try:
        manifest = Manifest.from_json(data)
    except ValidationError as error:
        raise CorruptDataError(f"artifact {uri}: {MANIFEST} cannot be read: {error}") from error
    for entry in manifest.files:
        if entry.path.startswith("/") or ".." in Path(entry.path).parts:
            raise CorruptDataError(f"artifact {uri}: file path {entry.path!r} leaves the artifact")
    digest = content_digest(manifest.files)
    if digest != manifest.content_digest:
        raise DigestMismatchError(f"artifact {uri}: {MANIFEST} says {manifest.content_digest}, its files are {digest}")
    if expected_digest and digest != expected_digest:
        raise DigestMismatchError(f"artifact {uri} has digest {digest}, wanted {expected_digest}")
    return manifest


def materialise(store: ArtifactStore, prefix: str, cache_dir: Path, expected_digest: str = "") -> Path:
    """The local folder with the artifact's files, every one verified: in place on file://, downloaded once otherwise.

    Raises:
        DigestMismatchError: the artifact is not the expected one, or a file has other bytes than its manifest says.
        InputError: a file is missing or truncated.
    """
    manifest = read_manifest(store, prefix, expected_digest)
    local = store.local_path(join(prefix, OUTPUT_DIR))
    if local is not None:
        verify_files(local, manifest.files, f"artifact {store.uri(prefix)}")
        return local
    return _download(store, prefix, cache_dir, manifest)


def _download(store: ArtifactStore, prefix: str, cache_dir: Path, manifest: Manifest) -> Path:
    folder = cache_dir / manifest.content_digest.removeprefix("sha256:")
    cache_dir.mkdir(parents=True, exist_ok=True)
    # Several ranks of one node ask for the same artifact at the same time.
    with FileLock(cache_dir / f"{folder.name}.lock"):
        for entry in manifest.files:
            path = folder / entry.path
            if not (path.is_file() and file_sha256(path) == entry.sha256):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    store.get_file(join(prefix, OUTPUT_DIR, entry.path), path)
                except ArtifactNotFoundError as error:
                    raise InputError(f"artifact {store.uri(prefix)}: file {entry.path} is missing") from error
        folder.mkdir(parents=True, exist_ok=True)
        verify_files(folder, manifest.files, f"artifact {store.uri(prefix)}")
    return folder
