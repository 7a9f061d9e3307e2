"""Where a pipeline keeps artifacts and sends metrics: said by its spec or its operator, frozen in its status."""

from __future__ import annotations

from pydantic import Field

from operators.mimo_pipeline.api_model import ApiModel, ObjectName, Uri


class StoreSettings(ApiModel):
    """Where artifacts are kept. `secret` holds AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""

    uri: Uri
    """s3://bucket/prefix"""
    endpoint: ObjectName = ""
    """Host:port of the S3 server; empty = that of Amazon."""
    region: str = Field(default="us-east-1", max_length=63)
    """Of the bucket."""
    secure: bool = True
    """TLS to the server."""
    secret: ObjectName
    """Name of the Secret with the keys."""
    ca_config_map: ObjectName = ""
    """ConfigMap with key ca.crt, for stores with a private authority."""


class TrackingSettings(ApiModel):
    uri: Uri = ""
    """MLflow server; empty = metrics are only journalled."""
