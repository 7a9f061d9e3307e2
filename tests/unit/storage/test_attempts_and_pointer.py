from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.errors import AttemptClaimedError, ConfigError, CorruptDataError, PreconditionFailedError
from mimo_vl.schema.manifest import Claim, ExitRecord, KeyEntry, OutputPointer, Revocation
from mimo_vl.schema.verdict import AttemptEnd, AttemptVerdict
from mimo_vl.storage import layout
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.attempts import (
    claim_attempt,
    conclude_attempt,
    read_claim,
    read_exit_record,
    read_verdict,
    require_claim,
    require_not_revoked,
    revoke_attempt,
    write_exit_record,
)
from mimo_vl.storage.keys import find_by_key, record_key
from mimo_vl.storage.local import LocalStore
from mimo_vl.storage.pointer import move_pointer, read_pointer


def _claim(owner: str) -> Claim:
    return Claim(owner=owner, hostname="node-1", pid=17, created_at="2026-01-01T00:00:00")


def _pointer(attempt: int) -> OutputPointer:
    return OutputPointer(attempt=attempt, uri=f"file:///s/attempt-{attempt}", content_digest="sha256:d", stage_key="k")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def test_the_second_process_learns_who_owns_the_attempt(store: LocalStore) -> None:
    claim_attempt(store, "a", _claim("first"))
    with pytest.raises(AttemptClaimedError, match="claimed by pid 17 on node-1") as caught:
        claim_attempt(store, "a", _claim("second"))
    assert caught.value.exit_code == 75
    claim = read_claim(store, "a")
    assert claim is not None
    assert claim.owner == "first"


def test_only_the_owner_passes(store: LocalStore) -> None:
    with pytest.raises(AttemptClaimedError, match="claimed by nobody"):
        require_claim(store, "a", "first")
    claim_attempt(store, "a", _claim("first"))
    require_claim(store, "a", "first")
    with pytest.raises(AttemptClaimedError, match="wanted second"):
        require_claim(store, "a", "second")


def test_a_revoked_attempt_publishes_nothing(store: LocalStore) -> None:
    require_not_revoked(store, "a")
    revoke_attempt(store, "a", Revocation(reason="node lost"))
    with pytest.raises(AttemptClaimedError, match=r"revoked \(node lost\)"):
        require_not_revoked(store, "a")


def test_an_exit_record_comes_back(store: LocalStore) -> None:
    assert read_exit_record(store, "a") is None
    record = ExitRecord(exit_code=2, rank_exit_codes={"0": 2}, reason="InputError", message="no file x")
    write_exit_record(store, "a", record)
    assert read_exit_record(store, "a") == record
    store.put_bytes("a/exit.json", b"{")
    with pytest.raises(CorruptDataError, match=r"exit.json is no ExitRecord"):
        read_exit_record(store, "a")


def test_the_first_verdict_of_an_attempt_stands(store: LocalStore) -> None:
    assert read_verdict(store, "a") is None
    first = AttemptVerdict(state=AttemptEnd.KILLED, reason="Evicted", message="its pod was evicted", exit_code=137)
    conclude_attempt(store, "a", first)
    conclude_attempt(store, "a", AttemptVerdict(state=AttemptEnd.FAILED, reason="Other", message="judged again"))
    assert read_verdict(store, "a") == first


def test_the_pointer_moves_forward_only(store: LocalStore) -> None:
    assert read_pointer(store, "s") is None
    move_pointer(store, "s", _pointer(1))
    move_pointer(store, "s", _pointer(3))
    with pytest.raises(PreconditionFailedError, match="is at attempt 3; 2 is too late"):
        move_pointer(store, "s", _pointer(2))
    assert read_pointer(store, "s") == _pointer(3)


def test_a_pointer_that_moved_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    class SlowStore(LocalStore):
        def get_bytes(self, key: str) -> tuple[bytes, str]:
            seen = super().get_bytes(key)
            LocalStore.put_bytes(self, key, _pointer(5).to_json())
            return seen

    LocalStore(tmp_path).put_bytes("s/output.json", _pointer(1).to_json())
    with pytest.raises(PreconditionFailedError, match="changed by somebody else"):
        move_pointer(SlowStore(tmp_path), "s", _pointer(2))
    assert read_pointer(LocalStore(tmp_path), "s") == _pointer(5)


def test_equal_work_is_found_by_its_key_in_its_namespace_only(store: LocalStore, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "x").write_bytes(b"1")
    manifest = publish_directory(store, "a", folder, stage="base", attempt=1, run_id="r", stage_key="sha256:key")
    digest = manifest.content_digest
    entry = KeyEntry(stage="base", stage_key="sha256:key", run_id="r", uri=store.uri("a"), content_digest=digest)
    record_key(store, "team-a", entry)
    assert find_by_key(store, "team-a", "sha256:key") == entry
    assert find_by_key(store, "team-b", "sha256:key") is None
    assert find_by_key(store, "team-a", "sha256:other") is None
    store.delete("a/manifest.json")
    assert find_by_key(store, "team-a", "sha256:key") is None


def test_layout_puts_each_thing_in_its_place() -> None:
    attempt = layout.attempt_prefix("local/demo/abcd1234", "base", 2)
    assert attempt == "runs/local/demo/abcd1234/base/attempt-2"
    assert layout.key_index_key("local", "sha256:ff") == "local/keys/ff.json"
    uri = "file:///store/" + attempt
    assert layout.split_output_uri(uri + "/", "local/demo/abcd1234", "base", 2) == ("file:///store", attempt)
    with pytest.raises(ConfigError, match=r"MIMO_OUTPUT: got .*wanted <store>/runs/local/demo/abcd1234/base/attempt-3"):
        layout.split_output_uri(uri, "local/demo/abcd1234", "base", 3)
