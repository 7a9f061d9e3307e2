"""Where does a process of an attempt, on whatever node, find inputs, write files, and how do these reach the store?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mimo_vl.config.storage import StorageConfig
from mimo_vl.schema.manifest import FileEntry, InputRef
from mimo_vl.storage.artifacts import materialise, read_manifest
from mimo_vl.storage.checkpoints import download_checkpoint
from mimo_vl.storage.layout import COMPLETE, join
from mimo_vl.storage.store import ArtifactStore, Credentials, store_for_uri
from mimo_vl.storage.upload import upload_files


@dataclass(frozen=True, kw_only=True)
class InputAccess:
    """How an input in another store is read. `credentials`: None of them = those of the pipeline's own store."""

    storage: StorageConfig
    credentials: Callable[[], Credentials | None]


@dataclass(frozen=True, kw_only=True)
class AttemptFiles:
    """On file:// the local folder is the attempt's folder in the store; on s3:// it lies in the node's scratch space.

    It can be sent to other processes: `scratch` is a function, called where the folder is needed, because each node
    has a scratch folder of its own; credentials are asked for in the same way, so that no message carries them.
    """

    root_uri: str
    prefix: str
    """Of the attempt, in the store at `root_uri`."""
    storage: StorageConfig
    scratch: Callable[[], Path]
    inputs_elsewhere: Mapping[str, InputAccess] = field(default_factory=dict)
    """By URI; all other inputs are read like the pipeline's own artifacts."""

    def store(self) -> ArtifactStore:
        return store_for_uri(self.root_uri, self.storage)

    def impatient_store(self) -> ArtifactStore:
        """The same store, for what must not hold a stage up: a write fails soon if the store is away."""
        return store_for_uri(self.root_uri, self.storage.impatient())

    def folder(self, *parts: str) -> Path:
        """Local folder `<attempt>/<parts>` of this node; it need not exist."""
        return (self.store().local_path(self.prefix) or self.scratch() / self.prefix).joinpath(*parts)

    @property
    def is_in_place(self) -> bool:
        """The local folder is the store's: every process of the attempt, on any node, sees the same files."""
        return self.store().local_path() is not None

    def upload(self, *parts: str, rank: int = 0, size: int = 1, exclude: Iterable[str] = ()) -> tuple[FileEntry, ...]:
        """Put this process's share of `folder(*parts)` into the store; paths of the entries count from that folder."""
        prefix, skipped = join(self.prefix, *parts), (COMPLETE, *exclude)
        return upload_files(self.store(), prefix, self.folder(*parts), exclude=skipped, rank=rank, size=size)

    def materialise(self, ref: InputRef) -> Path:
        """Verified local folder of an artifact; downloaded once per node. See storage.artifacts.materialise."""
        return materialise(self._store_of(ref), "", self.scratch() / "artifacts", ref.digest)

    def require(self, ref: InputRef) -> None:
        """Raise what `materialise` would raise, as far as it can be known without a download."""
        store = self._store_of(ref)
        if store.local_path() is None:
            read_manifest(store, "", expected_digest=ref.digest)
        else:
            self.materialise(ref)

    def _store_of(self, ref: InputRef) -> ArtifactStore:
        access = self.inputs_elsewhere.get(ref.uri)
        if access is None:
            return store_for_uri(ref.uri, self.storage)
        return store_for_uri(ref.uri, access.storage, access.credentials())

    def checkpoint(self, uri: str) -> Path:
        """Local folder of the complete checkpoint `…/step-<k>` at `uri`; its digests are not compared yet."""
        store = store_for_uri(uri, self.storage)
        return store.local_path() or download_checkpoint(store, "", self.scratch() / "resume" / _folder_name(uri))


def _folder_name(uri: str) -> str:
    """One folder per attempt: `s3://bucket/a/b/checkpoints/step-4` -> `bucket/a/b/checkpoints`."""
    return uri.split("://", 1)[1].rstrip("/").rpartition("/")[0]
