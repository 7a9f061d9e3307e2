from __future__ import annotations

from typing import Any

import pytest

from operators.mimo_pipeline.store_setup import bucket_policy, create, main


class _FakeMinio:
    """Client and admin in one: the calls in order, and what they left."""

    def __init__(self, buckets: tuple[str, ...] = ()) -> None:
        self.buckets = set(buckets)
        self.calls: list[tuple[Any, ...]] = []

    def bucket_exists(self, bucket: str) -> bool:
        return bucket in self.buckets

    def make_bucket(self, bucket: str) -> None:
        self.calls.append(("make_bucket", bucket))
        self.buckets.add(bucket)

    def policy_add(self, name: str, *, policy: dict[str, Any]) -> None:
        self.calls.append(("policy_add", name, policy))

    def user_add(self, user: str, key: str) -> None:
        self.calls.append(("user_add", user, key))

    def policy_set(self, name: str, *, user: str) -> None:
        self.calls.append(("policy_set", name, user))


def test_a_new_server_gets_bucket_policy_and_user() -> None:
    server = _FakeMinio()
    create("mimo", client=server, admin=server, user="stages", key="secret")
    assert server.calls == [
        ("make_bucket", "mimo"),
        ("policy_add", "mimo-stages", bucket_policy("mimo")),
        ("user_add", "stages", "secret"),
        ("policy_set", "mimo-stages", "stages"),
    ]


def test_a_second_run_keeps_the_bucket_and_sets_the_key_anew() -> None:
    server = _FakeMinio(("mimo",))
    create("mimo", client=server, admin=server, user="stages", key="rotated")
    assert [call[0] for call in server.calls] == ["policy_add", "user_add", "policy_set"]
    assert ("user_add", "stages", "rotated") in server.calls


def test_the_user_may_touch_one_bucket_and_not_delete_it() -> None:
    statements = bucket_policy("mimo")["Statement"]
    resources = {resource for statement in statements for resource in statement["Resource"]}
    actions = {action for statement in statements for action in statement["Action"]}
    assert resources == {"arn:aws:s3:::mimo", "arn:aws:s3:::mimo/*"}
    assert not [action for action in actions if "*" in action or action in ("s3:DeleteBucket", "s3:PutBucketPolicy")]


def test_missing_keys_end_with_exit_code_2_and_name_the_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["create", "--endpoint", "minio:9000", "--bucket", "mimo"]) == 2
    assert "MINIO_ACCESS_KEY" in capsys.readouterr().err
