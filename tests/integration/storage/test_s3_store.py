"""The S3 store against a real server process on loopback: the same contract as file://, artifacts, and failures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ArtifactNotFoundError, DigestMismatchError, InputError, StorageError
from mimo_vl.free_port import free_port
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage import ArtifactStore, Credentials, store_for_uri
from mimo_vl.storage.artifacts import materialise, publish_directory
from mimo_vl.storage.attempt_files import AttemptFiles, InputAccess
from mimo_vl.storage.checkpoints import (
    complete_steps,
    download_newest,
    keep_last,
    seal_checkpoint,
    upload_checkpoint,
)
from tests.fakes.s3_server import KEY, SECRET, Answers, answering
from tests.unit.storage.store_contract import StoreContract

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


class TestS3Store(StoreContract):
    pass


def test_an_artifact_is_downloaded_once_and_verified(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "made" / "model").mkdir(parents=True)
    (tmp_path / "made" / "model" / "weights").write_bytes(b"weights")
    manifest = publish_directory(
        store, "runs/a", tmp_path / "made", stage="base", attempt=1, run_id="r", stage_key="sha256:k"
    )
    cache = tmp_path / "cache"
    folder = materialise(store, "runs/a", cache, manifest.content_digest)
    assert (folder / "model" / "weights").read_bytes() == b"weights"
    store.delete("runs/a/output/model/weights")
    assert materialise(store, "runs/a", cache, manifest.content_digest) == folder
    with pytest.raises(InputError, match="model/weights is missing"):
        materialise(store, "runs/a", tmp_path / "cache2", manifest.content_digest)
    store.put_bytes("runs/a/output/model/weights", b"WEIGHTS")
    with pytest.raises(DigestMismatchError, match="model/weights has sha256"):
        materialise(store, "runs/a", tmp_path / "cache3", manifest.content_digest)


def test_a_checkpoint_is_uploaded_and_found_again(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "step-4").mkdir()
    (tmp_path / "step-4" / "state").write_bytes(b"s")
    for step in (2, 3, 4):
        prefix = f"a/checkpoints/step-{step}"
        files = upload_checkpoint(store, prefix, tmp_path / "step-4")
        if step != 3:
            seal_checkpoint(store, prefix, step=step, stage_key="k", files=files)
    # A store rooted at the prefix itself, as MIMO_RESUME_FROM gives it.
    assert complete_steps(store, "a/checkpoints") == [2, 4]
    assert keep_last(store, "a/checkpoints", 1) == [2, 3]
    assert [info.key for info in store.list("a/")] == [
        "a/checkpoints/step-4/complete.json",
        "a/checkpoints/step-4/state",
    ]
    download_newest(store, "a/checkpoints", tmp_path / "got")
    assert (tmp_path / "got" / "step-4" / "complete.json").is_file()


def test_a_prefix_of_the_store_is_a_store(store: ArtifactStore, config: StorageConfig) -> None:
    store.put_bytes("a/checkpoints/step-1/complete.json", b"{}")
    inner = store_for_uri(store.uri("a/checkpoints"), config)
    assert complete_steps(inner, "") == [1]
    assert inner.uri("step-1") == "s3://artifacts/team/a/checkpoints/step-1"


def test_a_missing_bucket_is_told(config: StorageConfig) -> None:
    with pytest.raises(StorageError, match="NoSuchBucket"):
        store_for_uri("s3://nowhere/x", config).put_bytes("a", b"x")


def test_a_store_that_stays_down_is_retryable_and_tells_no_credential(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    config = StorageConfig(
        kind="s3", endpoint=f"127.0.0.1:{free_port()}", secure=False, timeout_s=1.0, outage_timeout_s=0.5
    )
    store = store_for_uri("s3://artifacts/x", config)
    for call in (lambda: store.put_bytes("k", b"x", if_none_match=True), lambda: store.get_bytes("k")):
        with pytest.raises(StorageError, match="cannot be reached") as caught:
            call()
        assert caught.value.exit_code == 1
        assert "X-Amz" not in str(caught.value)
        assert KEY not in str(caught.value)


def test_conditional_writes_send_the_headers_of_the_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str | None]] = []

    class Handler(Answers):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append({name: self.headers[name] for name in ("If-None-Match", "If-Match")})
            self.answer(200, ETag='"abc"')

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with answering(Handler) as endpoint:
        store = store_for_uri("s3://artifacts/x", StorageConfig(kind="s3", endpoint=endpoint, secure=False))
        etag = store.put_bytes("k", b"1", if_none_match=True)
        store.put_bytes("k", b"2", if_match=etag)
        store.put_bytes("k", b"3")
    assert seen == [
        {"If-None-Match": "*", "If-Match": None},
        {"If-None-Match": None, "If-Match": '"abc"'},
        {"If-None-Match": None, "If-Match": None},
    ]


def test_an_input_in_another_store_is_read_there_and_with_its_own_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    class Handler(Answers):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"].split("Credential=")[1].split("/")[0])
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", Content_Type="application/xml")

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with answering(Handler) as endpoint:
        storage = StorageConfig(kind="s3", endpoint=endpoint, secure=False)
        own = Credentials(access_key="reader", secret_key="reader-secret")
        files = AttemptFiles(
            root_uri="s3://artifacts",
            prefix="a",
            storage=StorageConfig(kind="s3", endpoint=f"127.0.0.1:{free_port()}", secure=False, outage_timeout_s=0),
            scratch=partial(Path, tmp_path),
            inputs_elsewhere={
                "s3://models/own": InputAccess(storage=storage, credentials=lambda: own),
                "s3://models/same-keys": InputAccess(storage=storage, credentials=lambda: None),
            },
        )
        for name in ("own", "same-keys"):
            with pytest.raises(ArtifactNotFoundError, match=f"s3://models/{name}"):
                files.materialise(InputRef(uri=f"s3://models/{name}", digest="sha256:x"))
    assert seen == ["reader", KEY]
    # Every other input lies in the pipeline's store, which is away here.
    with pytest.raises(StorageError, match="cannot be reached"):
        files.require(InputRef(uri="s3://models/other", digest="sha256:x"))
