"""An S3 server that goes away for a while: every operation waits for it, and conditional writes stay correct."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import PreconditionFailedError, StorageError
from mimo_vl.storage import ArtifactStore, ObjectInfo, store_for_uri
from tests.fakes.flaky_proxy import FlakyProxy
from tests.fakes.s3_server import KEY, SECRET, Answers, answering

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ROOT = "s3://artifacts/team"
_DOWN_S = 2.0
_SLOW_DOWN, _NOT_IMPLEMENTED = 503, 501


@pytest.fixture
def proxy(endpoint: str) -> Iterator[FlakyProxy]:
    with FlakyProxy(endpoint) as proxy:
        yield proxy


@pytest.fixture
def far(store: ArtifactStore, proxy: FlakyProxy, config: StorageConfig) -> ArtifactStore:
    """The same objects as `store`, through the proxy."""
    store.put_bytes("old", b"old")
    return store_for_uri(ROOT, replace(config, endpoint=proxy.endpoint, outage_timeout_s=30.0))


def _put_file(store: ArtifactStore, tmp_path: Path) -> object:
    (tmp_path / "in").write_bytes(b"file")
    return store.put_file("new", tmp_path / "in")


def _get_file(store: ArtifactStore, tmp_path: Path) -> object:
    store.get_file("old", tmp_path / "folder" / "out")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["out"]
    return (tmp_path / "folder" / "out").read_bytes()


_OPERATIONS: dict[str, tuple[Callable[[ArtifactStore, Path], object], object]] = {
    "put_bytes": (lambda store, _: bool(store.put_bytes("new", b"1")), True),
    "create": (lambda store, _: bool(store.put_bytes("new", b"1", if_none_match=True)), True),
    "get_bytes": (lambda store, _: store.get_bytes("old")[0], b"old"),
    "put_file": (_put_file, None),
    "get_file": (_get_file, b"old"),
    "exists": (lambda store, _: store.exists("old"), True),
    "list": (lambda store, _: store.list(), [ObjectInfo("old", 3)]),
    "delete": (lambda store, _: store.delete("old"), None),
}


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_every_operation_waits_for_a_server_that_comes_back(
    operation: str, far: ArtifactStore, proxy: FlakyProxy, tmp_path: Path
) -> None:
    call, expected = _OPERATIONS[operation]
    # The connection that is kept open dies too.
    assert far.exists("old")
    proxy.down()
    timer = proxy.up_after(_DOWN_S)
    started_s = time.monotonic()
    assert call(far, tmp_path) == expected
    assert time.monotonic() - started_s >= _DOWN_S - 0.5
    timer.join()


def test_a_swap_waits_for_a_server_that_comes_back(far: ArtifactStore, proxy: FlakyProxy) -> None:
    etag = far.get_bytes("old")[1]
    proxy.down()
    timer = proxy.up_after(_DOWN_S)
    new = far.put_bytes("old", b"new", if_match=etag)
    timer.join()
    assert far.get_bytes("old") == (b"new", new)


@pytest.mark.parametrize("condition", ["create", "swap"])
def test_a_conditional_write_that_meets_its_own_first_copy_succeeded(
    condition: str, far: ArtifactStore, store: ArtifactStore, proxy: FlakyProxy
) -> None:
    etag = store.get_bytes("old")[1]
    proxy.lose_answers(1)
    if condition == "create":
        key, written = "claim", far.put_bytes("claim", b"mine", if_none_match=True)
    else:
        key, written = "old", far.put_bytes("old", b"mine", if_match=etag)
    assert proxy.num_connections >= 2
    assert store.get_bytes(key) == (b"mine", written)


def test_a_conditional_write_that_meets_somebody_elses_object_failed(
    far: ArtifactStore, store: ArtifactStore, proxy: FlakyProxy
) -> None:
    """Both answers are ambiguous; the bytes tell whose write it was."""
    etag = store.get_bytes("old")[1]
    store.put_bytes("claim", b"theirs")
    store.put_bytes("old", b"moved by them", if_match=etag)
    for key, condition in (("claim", {"if_none_match": True}), ("old", {"if_match": etag})):
        proxy.down()
        timer = proxy.up_after(0.5)
        with pytest.raises(PreconditionFailedError, match="written by somebody else"):
            far.put_bytes(key, b"mine", **condition)
        timer.join()
    assert store.get_bytes("claim")[0] == b"theirs"
    assert store.get_bytes("old")[0] == b"moved by them"


def test_equal_bytes_of_somebody_else_do_not_count_without_an_outage(far: ArtifactStore, store: ArtifactStore) -> None:
    store.put_bytes("claim", b"same")
    with pytest.raises(PreconditionFailedError):
        far.put_bytes("claim", b"same", if_none_match=True)


def test_a_store_that_stays_down_ends_at_the_deadline(config: StorageConfig, proxy: FlakyProxy) -> None:
    proxy.down()
    away = store_for_uri(ROOT, replace(config, endpoint=proxy.endpoint, outage_timeout_s=1.5))
    started_s = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot be reached, or cannot serve for 1\.5 s \(\w+Error\)") as caught:
        away.put_bytes("k", b"x", if_none_match=True)
    # The last wait may begin just before the deadline.
    assert 1.5 <= time.monotonic() - started_s < 10
    assert caught.value.exit_code == 1
    assert "X-Amz" not in str(caught.value)


def test_what_must_not_block_gives_up_at_the_first_failure(config: StorageConfig, proxy: FlakyProxy) -> None:
    proxy.down()
    away = store_for_uri(ROOT, replace(config, endpoint=proxy.endpoint).impatient())
    started_s = time.monotonic()
    with pytest.raises(StorageError):
        away.put_bytes("progress.json", b"{}")
    assert time.monotonic() - started_s < 1


@pytest.mark.parametrize(("status", "num_requests"), [(_SLOW_DOWN, 3), (_NOT_IMPLEMENTED, 1)])
def test_only_answers_that_may_change_are_waited_for(
    status: int, num_requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server refuses twice, then would accept."""
    seen: list[str] = []

    class Handler(Answers):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.path)
            body = b"<Error><Code>Refused</Code></Error>" if len(seen) < 3 else b""
            self.answer(status if body else 200, body, ETag='"abc"')

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with answering(Handler) as endpoint:
        store = store_for_uri(ROOT, StorageConfig(kind="s3", endpoint=endpoint, secure=False, outage_timeout_s=30.0))
        if status == _SLOW_DOWN:
            assert store.put_bytes("k", b"x") == "abc"
        else:
            with pytest.raises(StorageError, match="HTTP 501 Refused"):
                store.put_bytes("k", b"x")
    assert len(seen) == num_requests
