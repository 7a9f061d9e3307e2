"""How does a folder become a container image? One layer, packed as an OCI layout that containerd and buildah read."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def pack_layer(root: Path, layer: Path) -> dict[str, object]:
    """Same files, same bytes: sorted names, numeric owners, no times."""
    command = ["tar", "--numeric-owner", "--sort=name", "--mtime=@0", "-C", str(root), "-cf", str(layer), "."]
    subprocess.run(command, check=True)
    with layer.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"mediaType": _LAYER, "digest": f"sha256:{sha256}", "size": layer.stat().st_size}


def documents(name: str, layer: dict[str, object], settings: dict[str, object]) -> tuple[bytes, bytes, bytes]:
    """Index, manifest and configuration of an image that has this one layer."""
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    # One entry per layer: buildah builds on no image whose history and layers differ in number.
    history = [{"created_by": "devcluster/pack_image.py"}]
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": settings, "rootfs": rootfs, "history": history}
    ).encode()
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": _MANIFEST, "config": descriptor(_CONFIG, config), "layers": [layer]}
    ).encode()
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    index = json.dumps(
        {"schemaVersion": 2, "manifests": [{**descriptor(_MANIFEST, manifest), "annotations": names}]}
    ).encode()
    return index, manifest, config


def write_archive(out: Path, layer_file: Path, layer: dict[str, object], parts: tuple[bytes, bytes, bytes]) -> None:
    index, manifest, config = parts
    blobs = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
    blobs |= {f"blobs/{digest(blob).replace(':', '/')}": blob for blob in (manifest, config)}
    with tarfile.open(out, "w") as archive:
        for path, content in blobs.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        archive.add(layer_file, f"blobs/{str(layer['digest']).replace(':', '/')}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="such as registry.local/base:dev")
    parser.add_argument("root", type=Path, help="the folder to pack")
    parser.add_argument("out", type=Path, help="the archive to write")
    parser.add_argument("--entrypoint")
    parser.add_argument("--user")
    given = parser.parse_args()
    settings: dict[str, object] = {"Env": [_PATH]}
    if given.entrypoint:
        settings["Entrypoint"] = [given.entrypoint]
    if given.user:
        settings["User"] = given.user
    with tempfile.NamedTemporaryFile(dir=given.out.parent) as file:
        layer_file = Path(file.name)
        layer = pack_layer(given.root, layer_file)
        write_archive(given.out, layer_file, layer, documents(given.name, layer, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
