"""Does a packed folder hold together as an OCI image, and do equal folders give equal archives?"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path

import pytest

from devcluster import pack_image


def _root(folder: Path) -> Path:
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "passwd").write_text("root:x:0:0:root:/:/\n")
    (folder / "run").write_bytes(b"\x7fELF")
    return folder


def _pack(monkeypatch: pytest.MonkeyPatch, root: Path, out: Path) -> dict[str, bytes]:
    arguments = ["registry.local/x:dev", str(root), str(out), "--entrypoint", "/run", "--user", "65532:65532"]
    monkeypatch.setattr(sys, "argv", ["pack_image", *arguments])
    assert pack_image.main() == 0
    with tarfile.open(out) as archive:
        contents = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: stream.read() for name, stream in contents.items() if stream is not None}


def test_every_descriptor_names_a_blob_of_that_digest_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _pack(monkeypatch, _root(tmp_path / "root"), tmp_path / "x.tar")
    (manifest_at,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(files["blobs/" + manifest_at["digest"].replace(":", "/")])
    descriptors = [manifest_at, manifest["config"], *manifest["layers"]]
    assert len(descriptors) == 3
    for at in descriptors:
        blob = files["blobs/" + at["digest"].replace(":", "/")]
        assert (at["digest"], at["size"]) == ("sha256:" + hashlib.sha256(blob).hexdigest(), len(blob))


def test_name_entrypoint_and_user_are_in_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _pack(monkeypatch, _root(tmp_path / "root"), tmp_path / "x.tar")
    (manifest_at,) = json.loads(files["index.json"])["manifests"]
    assert manifest_at["annotations"]["io.containerd.image.name"] == "registry.local/x:dev"
    manifest = json.loads(files["blobs/" + manifest_at["digest"].replace(":", "/")])
    config = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    assert config["config"]["Entrypoint"] == ["/run"]
    assert config["config"]["User"] == "65532:65532"
    # A layer that is not compressed is its own diff id.
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]


def test_equal_folders_give_equal_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _pack(monkeypatch, _root(tmp_path / "a"), tmp_path / "a.tar")
    second = _pack(monkeypatch, _root(tmp_path / "b"), tmp_path / "b.tar")
    assert len(first) == 5
    assert first == second
