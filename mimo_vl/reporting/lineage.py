"""Which artifact was made from which, by digest, up to what nobody of ours made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from mimo_vl.errors import MimoError
from mimo_vl.schema.manifest import InputRef, Manifest

ReadManifest = Callable[[InputRef], Manifest]
"""Raises if the artifact cannot be read or has another digest; an empty digest matches any."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """`inputs`: name -> URI and digest. Without a stage it is a source: its manifest is not to be read, says `note`."""

    name: str
    uri: str
    digest: str
    stage: str = ""
    run_id: str = ""
    code_digest: str = ""
    config_digest: str = ""
    image: str = ""
    size_bytes: int = 0
    inputs: Mapping[str, InputRef] = field(default_factory=dict)
    note: str = ""


def artifact_of(name: str, uri: str, manifest: Manifest) -> Artifact:
    return Artifact(
        name=name,
        uri=uri,
        digest=manifest.content_digest,
        stage=manifest.stage,
        run_id=manifest.run_id,
        code_digest=manifest.code_digest,
        config_digest=manifest.config_digest,
        image=manifest.image,
        size_bytes=sum(f.size_bytes for f in manifest.files),
        inputs=manifest.inputs,
    )


def ancestry(roots: Mapping[str, str], read: ReadManifest) -> dict[str, Artifact]:
    """Every artifact that the roots (name -> URI) were made from and they themselves, by digest, roots first."""
    found: dict[str, Artifact] = {}
    waiting = [(name, InputRef(uri=uri, digest="")) for name, uri in roots.items()]
    while waiting:
        name, ref = waiting.pop(0)
        if ref.digest and ref.digest in found:
            continue
        artifact = _read(name, ref, read)
        if artifact.digest in found:
            continue
        found[artifact.digest] = artifact
        waiting.extend(artifact.inputs.items())
    return found


@dataclass(frozen=True, kw_only=True)
class TreeLine:
    """`name`: as the line above calls its input. `is_repeated`: what it was made from is shown further up."""

    depth: int
    name: str
    artifact: Artifact
    is_repeated: bool = False


def tree_lines(root: str, artifacts: Mapping[str, Artifact]) -> list[TreeLine]:
    """The tree below the artifact with digest `root`, which comes first; each artifact is opened once."""
    opened: set[str] = set()

    def below(name: str, digest: str, depth: int) -> Iterator[TreeLine]:
        artifact = artifacts[digest]
        is_repeated = digest in opened and bool(artifact.inputs)
        yield TreeLine(depth=depth, name=name, artifact=artifact, is_repeated=is_repeated)
        if digest not in opened:
            opened.add(digest)
            for input_name, ref in sorted(artifact.inputs.items()):
                yield from below(input_name, ref.digest or ref.uri, depth + 1)

    return list(below(artifacts[root].name, root, 0))


def _read(name: str, ref: InputRef, read: ReadManifest) -> Artifact:
    try:
        return artifact_of(name, ref.uri, read(ref))
    except MimoError as error:
        # An artifact in a store that cannot be reached from here, or a model that somebody else made.
        return Artifact(name=name, uri=ref.uri, digest=ref.digest or ref.uri, note=str(error))
