from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mimo_vl.errors import (
    ArtifactNotFoundError,
    CorruptDataError,
    DigestMismatchError,
    InputError,
    PreconditionFailedError,
)
from mimo_vl.schema.manifest import Manifest
from mimo_vl.storage import digests
from mimo_vl.storage.artifacts import materialise, publish_directory, read_manifest
from mimo_vl.storage.local import LocalStore

PREFIX = "runs/local/p/abcd1234/base/attempt-1"


def _publish(store: LocalStore, folder: Path, prefix: str = PREFIX, **fields: str) -> Manifest:
    return publish_directory(
        store, prefix, folder, stage="base", attempt=1, run_id="local/p/abcd1234", stage_key="sha256:k", **fields
    )


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def output(store: LocalStore) -> Path:
    folder = store.local_path(f"{PREFIX}/output")
    assert folder is not None
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights.bin").write_bytes(b"weights")
    (folder / "config.json").write_bytes(b"{}")
    return folder


def test_a_folder_inside_the_store_becomes_an_artifact_without_a_copy(store: LocalStore, output: Path) -> None:
    inode = (output / "config.json").stat().st_ino
    manifest = _publish(store, output)
    assert (output / "config.json").stat().st_ino == inode
    assert [f.path for f in manifest.files] == ["config.json", "model/weights.bin"]
    assert manifest.files[0].sha256 == hashlib.sha256(b"{}").hexdigest()
    assert materialise(store, PREFIX, Path("unused"), manifest.content_digest) == output


def test_a_folder_elsewhere_is_copied(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "x").write_bytes(b"1")
    manifest = _publish(store, tmp_path / "made")
    folder = materialise(store, PREFIX, tmp_path / "cache", manifest.content_digest)
    assert (folder / "x").read_bytes() == b"1"


def test_without_manifest_an_output_does_not_exist(store: LocalStore, output: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match=r"has no manifest.json"):
        materialise(store, PREFIX, Path("unused"), "")
    assert (output / "config.json").exists()


def test_the_digest_covers_files_and_not_times(store: LocalStore, output: Path, tmp_path: Path) -> None:
    first = _publish(store, output, finished_at="2026-01-01T00:00:00")
    other = LocalStore(tmp_path / "other")
    second = _publish(other, output, finished_at="2027-01-01T00:00:00")
    assert first.content_digest == second.content_digest
    (output / "config.json").write_bytes(b"{ }")
    third = _publish(LocalStore(tmp_path / "third"), output)
    assert third.content_digest != first.content_digest


def test_an_attempt_is_published_once(store: LocalStore, output: Path) -> None:
    _publish(store, output)
    with pytest.raises(PreconditionFailedError, match=r"manifest.json exists already"):
        _publish(store, output)


def test_wrong_bytes_are_named_with_both_digests(store: LocalStore, output: Path) -> None:
    manifest = _publish(store, output)
    (output / "model" / "weights.bin").write_bytes(b"WEIGHTS")
    got, wanted = hashlib.sha256(b"WEIGHTS").hexdigest(), hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(DigestMismatchError, match=rf"model/weights.bin has sha256 {got}, wanted {wanted}") as caught:
        materialise(store, PREFIX, Path("unused"), manifest.content_digest)
    assert caught.value.exit_code == 2


def test_a_truncated_file_is_named_with_both_sizes(store: LocalStore, output: Path) -> None:
    _publish(store, output)
    (output / "model" / "weights.bin").write_bytes(b"wei")
    with pytest.raises(InputError, match=r"model/weights.bin is truncated: 3 bytes, wanted 7"):
        materialise(store, PREFIX, Path("unused"), "")


def test_a_missing_file_is_named(store: LocalStore, output: Path) -> None:
    _publish(store, output)
    (output / "config.json").unlink()
    with pytest.raises(InputError, match=r"config.json is missing"):
        materialise(store, PREFIX, Path("unused"), "")


def test_another_artifact_than_the_expected_one_is_refused(store: LocalStore, output: Path) -> None:
    manifest = _publish(store, output)
    with pytest.raises(DigestMismatchError, match=rf"has digest {manifest.content_digest}, wanted sha256:other"):
        materialise(store, PREFIX, Path("unused"), "sha256:other")


def test_a_manifest_with_an_edited_file_list_is_refused(store: LocalStore, output: Path) -> None:
    manifest = _publish(store, output)
    edited = manifest.model_copy(update={"files": manifest.files[:1]})
    store.put_bytes(f"{PREFIX}/manifest.json", edited.to_json())
    with pytest.raises(DigestMismatchError, match=r"manifest.json says"):
        read_manifest(store, PREFIX)


def test_a_manifest_that_points_outside_is_refused(store: LocalStore, output: Path) -> None:
    manifest = _publish(store, output)
    bad = manifest.files[0].model_copy(update={"path": "../../secret"})
    store.put_bytes(f"{PREFIX}/manifest.json", manifest.model_copy(update={"files": (bad,)}).to_json())
    with pytest.raises(CorruptDataError, match=r"'../../secret' leaves the artifact"):
        read_manifest(store, PREFIX)


def test_an_unreadable_manifest_is_corrupt_data(store: LocalStore) -> None:
    store.put_bytes(f"{PREFIX}/manifest.json", b'{"stage": "base"')
    with pytest.raises(CorruptDataError, match=r"manifest.json cannot be read"):
        read_manifest(store, PREFIX)


def test_symbolic_links_are_no_part_of_an_artifact(store: LocalStore, output: Path) -> None:
    (output / "link").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="symbolic link"):
        _publish(store, output)


def test_an_unchanged_file_is_hashed_once_per_process(
    store: LocalStore, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    original = hashlib.file_digest

    def counting(file: object, name: str) -> object:
        hashed.append(os.path.basename(file.name))  # type: ignore[attr-defined]  # noqa: PTH119
        return original(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(digests.hashlib, "file_digest", counting)
    manifest = _publish(store, output)
    materialise(store, PREFIX, Path("unused"), manifest.content_digest)
    assert sorted(hashed) == ["config.json", "weights.bin"]
    (output / "config.json").write_bytes(b"[]")
    with pytest.raises(DigestMismatchError):
        materialise(store, PREFIX, Path("unused"), "")
    assert hashed.count("config.json") == 2
