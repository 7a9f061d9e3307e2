"""How the chart's MinIO gets its bucket and the one user that stages are, and how a store is proved fit.

`create` may run any number of times: it adds what is missing and sets the user's key and rights anew.
`check` proves, as that user, that the store refuses a second conditional create; claims and manifests rest on it.
Keys come from the environment only: root in MINIO_*, the user in AWS_*.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import Any

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ConfigError
from mimo_vl.observability.logging import configure_logging
from mimo_vl.storage.s3 import build_s3_store
from operators.mimo_pipeline.kubernetes.store_check import require_conditional_writes

logger = logging.getLogger(__name__)


_POLICY_NAME = "mimo-stages"


def bucket_policy(bucket: str) -> dict[str, Any]:
    """Read and write the objects of one bucket; nothing of other buckets, users or the server."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                "Resource": [f"arn:aws:s3:::{bucket}"],
            },
            {
                "Effect": "Allow",
                "Action": [
                    "s3:GetObject",
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ],
                "Resource": [f"arn:aws:s3:::{bucket}/*"],
            },
        ],
    }


def create(bucket: str, *, client: Any, admin: Any, user: str, key: str) -> None:
    """The bucket, and `user` who may do what bucket_policy says, with `key` as password."""
    if not client.bucket_exists(bucket):
        client.make_bucket(bucket)
        logger.info("created bucket %s", bucket)
    admin.policy_add(_POLICY_NAME, policy=bucket_policy(bucket))
    admin.user_add(user, key)
    admin.policy_set(_POLICY_NAME, user=user)
    logger.info("user %s may read and write bucket %s", user, bucket)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 when the settings or the store are wrong; other errors are worth another try."""
    configure_logging()
    args = _parser().parse_args(argv)
    config = StorageConfig(kind="s3", endpoint=args.endpoint, region=args.region, secure=not args.insecure)
    try:
        if args.command == "check":
            require_conditional_writes(build_s3_store(args.uri, config))
            logger.info("%s honours conditional writes", args.uri)
        else:
            _create(args.bucket, config)
    except ConfigError as error:
        logger.error("%s", error)
        return 2
    return 0


def _create(bucket: str, config: StorageConfig) -> None:
    from minio import Minio, MinioAdmin
    from minio.credentials import EnvAWSProvider, EnvMinioProvider

    root = EnvMinioProvider()
    try:
        root.retrieve()
        stages = EnvAWSProvider().retrieve()
    except ValueError as error:
        raise ConfigError(
            f"store setup: {error}; wanted root's keys in MINIO_ACCESS_KEY and MINIO_SECRET_KEY, "
            "those of the stages' user in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    server = {"endpoint": config.endpoint, "region": config.region, "secure": config.secure, "credentials": root}
    create(bucket, client=Minio(**server), admin=MinioAdmin(**server), user=stages.access_key, key=stages.secret_key)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--endpoint", required=True, help="host:port")
    common.add_argument("--region", default="us-east-1")
    common.add_argument("--insecure", action="store_true", help="plain HTTP")
    parser = argparse.ArgumentParser(prog="store_setup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("create", parents=[common]).add_argument("--bucket", required=True)
    commands.add_parser("check", parents=[common]).add_argument("--uri", required=True, help="s3://bucket/prefix")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
