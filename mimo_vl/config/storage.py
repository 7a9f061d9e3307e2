"""Where artifacts and runs are kept. None of it affects results."""

from __future__ import annotations

from typing import Literal

from mimo_vl.config.fields import config, unhashed


@config
class StorageConfig:
    kind: Literal["file", "s3"] = unhashed("file")
    """With an s3:// URI always s3."""
    uri: str = unhashed("")
    """file:///folder or s3://bucket/prefix; empty = <run dir>/store."""
    endpoint: str = unhashed("")
    """Host:port of the S3 server; empty with file. Credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""
    region: str = unhashed("us-east-1")
    secure: bool = unhashed(True)
    timeout_s: float = unhashed(60.0)

    def __post_init__(self) -> None:
        if self.uri.startswith("s3://"):
            object.__setattr__(self, "kind", "s3")


@config
class TrackingConfig:
    kind: Literal["mlflow", "null"] = unhashed("mlflow")
    uri: str = unhashed("")
    """MLflow server; empty = one started on loopback by `mimo run`."""
    experiment: str = unhashed("mimo-vl")
    timeout_s: float = unhashed(5.0)
    """Per request; when the server is away, metrics are journalled and sent by `finalize`."""
    system_metrics_interval_s: float = unhashed(10.0)
