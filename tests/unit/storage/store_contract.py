"""The contract of ArtifactStore as tests; a subclass provides the fixture `store`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mimo_vl.errors import ArtifactNotFoundError, PreconditionFailedError
from mimo_vl.storage.store import ArtifactStore, ObjectInfo


class StoreContract:
    def test_what_is_put_is_what_is_got(self, store: ArtifactStore) -> None:
        etag = store.put_bytes("a/b.json", b"one")
        assert store.get_bytes("a/b.json") == (b"one", etag)
        store.put_bytes("a/b.json", b"two")
        assert store.get_bytes("a/b.json")[0] == b"two"

    def test_a_missing_key_is_named(self, store: ArtifactStore, tmp_path: Path) -> None:
        with pytest.raises(ArtifactNotFoundError, match="no/such"):
            store.get_bytes("no/such")
        with pytest.raises(ArtifactNotFoundError, match="no/such"):
            store.get_file("no/such", tmp_path / "x")
        assert not store.exists("no/such")
        store.delete("no/such")

    def test_a_conditional_create_succeeds_once(self, store: ArtifactStore) -> None:
        store.put_bytes("claim.json", b"first", if_none_match=True)
        with pytest.raises(PreconditionFailedError):
            store.put_bytes("claim.json", b"second", if_none_match=True)
        assert store.get_bytes("claim.json")[0] == b"first"

    def test_a_swap_needs_the_etag_of_what_is_there(self, store: ArtifactStore) -> None:
        old = store.put_bytes("pointer.json", b"attempt 1")
        new = store.put_bytes("pointer.json", b"attempt 2", if_match=old)
        with pytest.raises(PreconditionFailedError):
            store.put_bytes("pointer.json", b"attempt 3", if_match=old)
        assert store.get_bytes("pointer.json") == (b"attempt 2", new)

    def test_a_swap_of_a_missing_key_fails(self, store: ArtifactStore) -> None:
        etag = store.put_bytes("other.json", b"x")
        with pytest.raises(PreconditionFailedError):
            store.put_bytes("pointer.json", b"attempt 1", if_match=etag)
        assert not store.exists("pointer.json")

    def test_of_many_claimants_one_wins(self, store: ArtifactStore) -> None:
        winners: list[int] = []

        def claim(number: int) -> None:
            try:
                store.put_bytes("race.json", str(number).encode(), if_none_match=True)
            except PreconditionFailedError:
                return
            winners.append(number)

        threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1
        assert store.get_bytes("race.json")[0] == str(winners[0]).encode()

    def test_a_listing_is_sorted_and_holds_the_prefix_only(self, store: ArtifactStore) -> None:
        for key in ("run/b/2", "run/a/10", "run/a/9", "runner/x", "other"):
            store.put_bytes(key, b"12345")
        assert store.list("run/") == [ObjectInfo("run/a/10", 5), ObjectInfo("run/a/9", 5), ObjectInfo("run/b/2", 5)]
        assert [info.key for info in store.list("run/a/1")] == ["run/a/10"]
        assert [info.key for info in store.list()] == ["other", "run/a/10", "run/a/9", "run/b/2", "runner/x"]
        assert store.list("nothing/") == []

    def test_files_go_in_and_out_unchanged(self, store: ArtifactStore, tmp_path: Path) -> None:
        data = bytes(range(256)) * 1000
        source = tmp_path / "in.bin"
        source.write_bytes(data)
        store.put_file("deep/file.bin", source)
        store.get_file("deep/file.bin", tmp_path / "out" / "file.bin")
        assert (tmp_path / "out" / "file.bin").read_bytes() == data
        store.delete("deep/file.bin")
        assert not store.exists("deep/file.bin")

    @pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
    def test_no_key_leaves_the_store(self, store: ArtifactStore, key: str) -> None:
        with pytest.raises(ValueError, match="leaves the store"):
            store.put_bytes(key, b"x")
