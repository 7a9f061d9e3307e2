"""What the keys of the stages open in the release's own store: their bucket, and nothing else."""

from __future__ import annotations

import base64
import io
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, S3Error

from tests.e2e.port_forward import forward_release_store
from tests.e2e.release import RELEASE
from tests.e2e.with_faults.drive import NAMESPACE, FaultRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# A client that does not know it asks the bucket for it first, and is refused that.
_REGION = "us-east-1"
_OWN, _OTHER, _KEY = "mimo", f"other-{uuid.uuid4().hex[:8]}", "scoped/by/a/test"


@dataclass(frozen=True)
class Users:
    stages: Minio
    root: Minio
    """Has made the bucket `_OTHER`, with an object `_KEY`."""
    stages_as_admin: MinioAdmin


@pytest.fixture(scope="module")
def users(run: FaultRun) -> Iterator[Users]:
    secret = run.cluster.get("secret", f"{RELEASE}-minio-root", NAMESPACE)
    assert secret is not None
    root_keys = [base64.b64decode(secret["data"][f"MINIO_ROOT_{name}"]).decode() for name in ("USER", "PASSWORD")]
    with forward_release_store(run.cluster, NAMESPACE) as endpoint:
        keys = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        root, stages = (Minio(endpoint, *pair, secure=False, region=_REGION) for pair in (root_keys, keys))
        admin = MinioAdmin(endpoint=endpoint, credentials=StaticProvider(*keys), region=_REGION, secure=False)
        root.make_bucket(_OTHER)
        _put(root, _OTHER)
        yield Users(stages=stages, root=root, stages_as_admin=admin)
        root.remove_object(_OTHER, _KEY)
        root.remove_bucket(_OTHER)


def _put(client: Minio, bucket: str) -> None:
    client.put_object(bucket, _KEY, io.BytesIO(b"text"), 4)


def _get(client: Minio, bucket: str) -> bytes:
    with client.get_object(bucket, _KEY) as answer:
        return bytes(answer.read())


def test_the_own_bucket_can_be_written_read_listed_and_emptied(users: Users) -> None:
    _put(users.stages, _OWN)
    assert _get(users.stages, _OWN) == b"text"
    assert [o.object_name for o in users.stages.list_objects(_OWN, _KEY)] == [_KEY]
    users.stages.remove_object(_OWN, _KEY)
    assert list(users.stages.list_objects(_OWN, _KEY)) == []


_REFUSED: dict[str, Callable[[Minio], Any]] = {
    "make a bucket": lambda client: client.make_bucket(f"{_OTHER}-mine"),
    "list another bucket": lambda client: list(client.list_objects(_OTHER)),
    "read from another bucket": lambda client: _get(client, _OTHER),
    "write to another bucket": lambda client: _put(client, _OTHER),
    "delete from another bucket": lambda client: client.remove_object(_OTHER, _KEY),
    "remove the own bucket": lambda client: client.remove_bucket(_OWN),
    "make the own bucket public": lambda client: client.set_bucket_policy(_OWN, "{}"),
}


@pytest.mark.parametrize("case", sorted(_REFUSED))
def test_everything_else_is_denied(users: Users, case: str) -> None:
    with pytest.raises(S3Error) as caught:
        _REFUSED[case](users.stages)
    assert caught.value.code == "AccessDenied"


def test_nothing_of_the_other_bucket_has_changed(users: Users) -> None:
    """After all that was tried; root, who may, sees it."""
    assert _get(users.root, _OTHER) == b"text"
    assert [o.object_name for o in users.root.list_objects(_OTHER, recursive=True)] == [_KEY]


def test_other_buckets_are_not_even_named(users: Users) -> None:
    assert [bucket.name for bucket in users.stages.list_buckets()] == [_OWN]


def test_users_of_the_server_are_not_theirs_to_see(users: Users) -> None:
    with pytest.raises(MinioAdminException, match="AccessDenied"):
        users.stages_as_admin.user_list()
