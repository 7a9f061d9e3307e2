from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ConfigError, StorageError
from mimo_vl.storage import open_store, store_for_uri
from mimo_vl.storage.local import LocalStore


def test_uri_and_folder_name_the_same_place(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "with space")
    store.put_bytes("a/b", b"x")
    again = store_for_uri(store.uri("a"))
    assert again.get_bytes("b")[0] == b"x"
    assert store.uri("a/b").startswith("file:///")


def test_a_full_disk_is_a_retryable_error_that_names_the_file_and_leaves_no_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = LocalStore(tmp_path)
    store.put_bytes("kept.json", b"old")
    monkeypatch.setattr(os, "fsync", full)
    for is_create in (True, False):
        with pytest.raises(StorageError, match=r"disk full while writing .*(kept|new)\.json") as caught:
            store.put_bytes("new.json" if is_create else "kept.json", b"new", if_none_match=is_create)
        assert caught.value.exit_code == 1
    assert [info.key for info in store.list()] == ["kept.json"]
    assert store.get_bytes("kept.json")[0] == b"old"


def test_half_written_files_and_locks_are_not_objects(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    etag = store.put_bytes("pointer", b"1")
    store.put_bytes("pointer", b"2", if_match=etag)
    (tmp_path / ".tmp-abc").write_bytes(b"half")
    assert [info.key for info in store.list()] == ["pointer"]


def test_the_run_folder_is_the_default_store(tmp_path: Path) -> None:
    store = open_store(StorageConfig(), default_root=tmp_path / "store")
    assert store.local_path("runs/x") == tmp_path / "store" / "runs" / "x"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (StorageConfig(kind="s3", uri="file:///x"), r"storage.uri: got 'file:///x' with storage.kind 's3'"),
        (StorageConfig(kind="s3"), "storage.uri: empty with storage.kind 's3'"),
        (StorageConfig(kind="file", uri="file://otherhost/x"), "names host 'otherhost'"),
        (StorageConfig(kind="s3", uri="s3:///prefix"), "wanted s3://bucket/prefix"),
    ],
)
def test_an_impossible_store_is_a_configuration_error(config: StorageConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_store(config)


def test_a_uri_of_s3_says_the_kind_of_the_store() -> None:
    assert StorageConfig(uri="s3://bucket/x").kind == "s3"
    assert StorageConfig(uri="file:///x").kind == StorageConfig().kind == "file"


def test_an_unknown_scheme_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="scheme 'ftp'; wanted file:// or s3://"):
        store_for_uri("ftp://host/x")
