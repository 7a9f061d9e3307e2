"""Files of one attempt on several nodes: shares that become one list, and downloads that happen once per node."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import CorruptDataError, DigestMismatchError
from mimo_vl.schema.manifest import FileEntry, InputRef
from mimo_vl.storage.artifacts import materialise, publish_directory, read_manifest
from mimo_vl.storage.attempt_files import AttemptFiles
from mimo_vl.storage.checkpoints import complete_steps, download_checkpoint, keep_last, seal_checkpoint
from mimo_vl.storage.local import LocalStore
from mimo_vl.storage.upload import join_entries, placed_under, upload_files


class RemoteStore(LocalStore):
    """A store that is no folder of this machine; counts the downloads."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.downloads: list[str] = []

    def local_path(self, key: str = "") -> Path | None:
        return None

    def get_file(self, key: str, path: Path) -> None:
        self.downloads.append(key)
        super().get_file(key, path)


def _write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def _publish(store: LocalStore, folder: Path, uploaded: tuple[FileEntry, ...] = ()) -> str:
    fields = {"stage": "base", "attempt": 1, "run_id": "r", "stage_key": "k"}
    return publish_directory(store, "a", folder, uploaded=uploaded, **fields).content_digest  # type: ignore[arg-type]


def test_files_from_two_nodes_are_the_artifact_that_one_node_would_have_written(tmp_path: Path) -> None:
    remote, whole = RemoteStore(tmp_path / "remote"), LocalStore(tmp_path / "whole")
    elsewhere = _write(tmp_path / "node-1", "config.json", "weights")
    uploaded = placed_under("model", upload_files(remote, "a/output/model", elsewhere))
    driver = _write(tmp_path / "node-0", "metrics.json")
    digest = _publish(remote, driver, uploaded)
    one = _write(tmp_path / "one", "metrics.json")
    _write(one / "model", "config.json", "weights")
    assert digest == _publish(whole, one)
    assert [f.path for f in read_manifest(remote, "a").files] == ["metrics.json", "model/config.json", "model/weights"]


def test_two_processes_that_wrote_one_path_differently_are_an_error() -> None:
    entry = FileEntry(path="state", size_bytes=1, sha256="aa")
    assert join_entries([[entry], [entry]]) == (entry,)
    with pytest.raises(CorruptDataError, match="state was written by two processes"):
        join_entries([[entry], [entry.model_copy(update={"sha256": "bb"})]])


def test_processes_of_a_node_that_ask_at_once_download_each_file_once(tmp_path: Path) -> None:
    store = RemoteStore(tmp_path / "store")
    digest = _publish(store, _write(tmp_path / "made", "x", "y"))
    files = upload_files(store, "c/step-3", tmp_path / "made")
    seal_checkpoint(store, "c/step-3", step=3, stage_key="k", files=files)
    start = threading.Barrier(4)

    def ask() -> tuple[Path, Path]:
        start.wait(10)
        folder = materialise(store, "a", tmp_path / "cache", digest)
        return folder, download_checkpoint(store, "c/step-3", tmp_path / "resume")

    with ThreadPoolExecutor(4) as pool:
        answers = {future.result() for future in [pool.submit(ask) for _ in range(4)]}
    assert len(answers) == 1
    folder, checkpoint = answers.pop()
    assert (folder / "x").read_text() == (checkpoint / "x").read_text() == "x"
    assert sorted(store.downloads) == ["a/output/x", "a/output/y", "c/step-3/x", "c/step-3/y"]


def test_old_checkpoints_are_removed_from_a_store_that_is_no_folder(tmp_path: Path) -> None:
    store = RemoteStore(tmp_path / "store")
    for step in (2, 4, 6, 8):
        files = upload_files(store, f"c/step-{step}", _write(tmp_path / "made", "x"))
        if step != 4:
            seal_checkpoint(store, f"c/step-{step}", step=step, stage_key="k", files=files)
    assert keep_last(store, "c", 2) == [2, 4]
    assert complete_steps(store, "c") == [6, 8]
    assert not any(info.key.startswith(("c/step-2/", "c/step-4/")) for info in store.list("c/"))


def test_in_a_folder_nothing_is_copied_and_a_wrong_digest_is_told(tmp_path: Path) -> None:
    files = AttemptFiles(
        root_uri=tmp_path.as_uri(), prefix="a", storage=StorageConfig(), scratch=partial(Path, tmp_path / "never")
    )
    assert files.is_in_place
    folder = _write(files.folder("output"), "x", "y", "complete.json")
    before = (folder / "x").stat().st_ino
    shares = [files.upload("output", rank=rank, size=2) for rank in range(2)]
    assert [[entry.path for entry in share] for share in shares] == [["x"], ["y"]]
    assert (folder / "x").stat().st_ino == before
    (folder / "complete.json").unlink()
    digest = _publish(LocalStore(tmp_path), folder)
    files.require(InputRef(uri=files.store().uri("a"), digest=digest))
    with pytest.raises(DigestMismatchError, match="wanted sha256:other"):
        files.require(InputRef(uri=files.store().uri("a"), digest="sha256:other"))
    assert not (tmp_path / "never").exists()
