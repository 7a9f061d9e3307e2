from __future__ import annotations

import json
from pathlib import Path

import pytest

from mimo_vl.errors import DigestMismatchError, InputError
from mimo_vl.storage.checkpoints import (
    complete_steps,
    download_newest,
    keep_last,
    newest_complete,
    seal_checkpoint,
    upload_checkpoint,
    verify_checkpoint,
)
from mimo_vl.storage.local import LocalStore
from mimo_vl.storage.store import ArtifactStore
from mimo_vl.storage.upload import join_entries
from tests.fakes.checkpoints import complete

KEY = "sha256:key"


def _checkpoint(folder: Path, step: int, *, is_complete: bool = True) -> Path:
    path = folder / f"step-{step}"
    (path / "rank-0").mkdir(parents=True)
    (path / "rank-0" / "state.pt").write_bytes(b"state %d" % step)
    if is_complete:
        complete(path, step=step, stage_key=KEY)
    return path


def _send(store: ArtifactStore, attempt: str, folder: Path, step: int) -> None:
    """Two processes upload what they see, one seals."""
    path = _checkpoint(folder, step, is_complete=False)
    (path / "trainer.json").write_bytes(b"{}")
    prefix = f"{attempt}/checkpoints/step-{step}"
    shares = [upload_checkpoint(store, prefix, path, rank=rank, size=2) for rank in range(2)]
    assert [[f.path for f in share] for share in shares] == [["rank-0/state.pt"], ["trainer.json"]]
    seal_checkpoint(store, prefix, step=step, stage_key=KEY, files=join_entries(shares))


def test_without_its_marker_a_checkpoint_does_not_exist(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 9)
    # 10 > 9 as numbers, not as texts.
    newest = _checkpoint(tmp_path, 10)
    _checkpoint(tmp_path, 11, is_complete=False)
    assert newest_complete(tmp_path) == newest
    assert newest_complete(tmp_path / "none") is None


def test_a_good_checkpoint_passes(tmp_path: Path) -> None:
    record = verify_checkpoint(_checkpoint(tmp_path, 3), stage_key=KEY)
    assert (record.step, [f.path for f in record.files]) == (3, ["rank-0/state.pt"])


def test_changed_bytes_are_found_before_anything_is_loaded(tmp_path: Path) -> None:
    path = _checkpoint(tmp_path, 3)
    (path / "rank-0" / "state.pt").write_bytes(b"STATE 3")
    with pytest.raises(DigestMismatchError, match=r"rank-0/state.pt has sha256"):
        verify_checkpoint(path)


def test_an_unfinished_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="never finished"):
        verify_checkpoint(_checkpoint(tmp_path, 3, is_complete=False))


def test_a_checkpoint_of_other_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has stage key sha256:key, wanted sha256:other"):
        verify_checkpoint(_checkpoint(tmp_path, 3), stage_key="sha256:other")


def test_an_empty_checkpoint_cannot_be_completed(tmp_path: Path) -> None:
    (tmp_path / "step-1").mkdir()
    with pytest.raises(InputError, match="is empty"):
        complete(tmp_path / "step-1", step=1, stage_key=KEY)


def test_the_newest_are_kept_and_unfinished_ones_on_top_are_left_alone(tmp_path: Path) -> None:
    for step in (1, 2, 4):
        _checkpoint(tmp_path, step)
    _checkpoint(tmp_path, 3, is_complete=False)
    _checkpoint(tmp_path, 5, is_complete=False)
    store = LocalStore(tmp_path)
    assert keep_last(store, "", 2) == [1, 3]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-2", "step-4", "step-5"]
    assert keep_last(store, "", 2) == []


def test_nothing_is_removed_while_no_checkpoint_is_complete(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 1, is_complete=False)
    assert keep_last(LocalStore(tmp_path), "", 1) == []
    assert (tmp_path / "step-1").is_dir()
    with pytest.raises(ValueError, match="got 0, wanted at least 1"):
        keep_last(LocalStore(tmp_path), "", 0)


def test_a_checkpoint_travels_through_a_store(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    for step in (2, 10):
        _send(store, "attempt-1", tmp_path / "made", step)
    store.put_bytes("attempt-1/checkpoints/step-12/rank-0/state.pt", b"half")
    assert complete_steps(store, "attempt-1/checkpoints") == [2, 10]
    newest = download_newest(store, "attempt-1/checkpoints", tmp_path / "got")
    assert newest == newest_complete(tmp_path / "got") == tmp_path / "got" / "step-10"
    assert verify_checkpoint(newest, stage_key=KEY).step == 10
    assert download_newest(store, "attempt-2/checkpoints", tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_a_checkpoint_record_that_points_outside_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    _send(store, "a", tmp_path / "made", 1)
    marker = json.loads(store.get_bytes("a/checkpoints/step-1/complete.json")[0])
    marker["files"][0]["path"] = "../../../evil"
    store.put_bytes("a/checkpoints/step-1/complete.json", json.dumps(marker).encode())
    with pytest.raises(InputError, match=r"'../../../evil' leaves it"):
        download_newest(store, "a/checkpoints", tmp_path / "got")
