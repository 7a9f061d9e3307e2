"""Where the bytes of a request's media come from: a folder of files named by their sha256."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from mimo_vl.errors import DigestMismatchError, InputError
from mimo_vl.schema.reward import ScoreMedia


class MediaResolver(Protocol):
    def load(self, media: ScoreMedia) -> bytes:
        """The bytes whose sha256 is `media.sha256`.

        Raises:
            InputError: not there, or not those bytes.
        """
        ...


class MediaFolder:
    """`<folder>/<sha256>`. Who makes requests writes the files first; the service only reads, and only this folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, media: Iterable[bytes]) -> list[str]:
        """Write what is not there yet, atomically; returns the digests in order."""
        self.folder.mkdir(parents=True, exist_ok=True)
        digests = []
        for data in media:
            digest = hashlib.sha256(data).hexdigest()
            path = self.folder / digest
            if not path.exists():
                temporary = path.with_name(f".{digest}.{os.getpid()}")
                temporary.write_bytes(data)
                temporary.replace(path)
            digests.append(digest)
        return digests

    def load(self, media: ScoreMedia) -> bytes:
        digest = media.sha256.removeprefix("sha256:")
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise InputError(f"media.sha256: got {media.sha256[:80]!r}, wanted 64 hexadecimal digits")
        path = self.folder / digest
        if not path.is_file():
            raise InputError(f"media {digest} (uri {media.uri}) is not in the media folder; add it before scoring")
        data = path.read_bytes()
        actual = hashlib.sha256(data).hexdigest()
        if actual != digest:
            raise DigestMismatchError(f"media {digest}: the file has digest {actual}; write it again")
        return data
