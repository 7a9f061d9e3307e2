"""Where artifacts and runs are kept. None of it affects results."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from mimo_vl.config.fields import config, unhashed

_MAX_OUTAGE_S = 600.0
_IMPATIENT_S = 5.0


@config
class StorageConfig:
    kind: Literal["file", "s3"] = unhashed("file")
    """With an s3:// URI always s3."""
    uri: str = unhashed("")
    """file:///folder or s3://bucket/prefix; empty = <run dir>/store."""
    endpoint: str = unhashed("")
    """Host:port of the S3 server; empty with file. Credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""
    region: str = unhashed("us-east-1")
    """Of an S3 bucket."""
    secure: bool = unhashed(True)
    """HTTPS to the S3 endpoint."""
    timeout_s: PositiveFloat = unhashed(60.0)
    """Of one try of a request."""
    outage_timeout_s: float = unhashed(120.0)
    """A request is repeated for so long while an S3 server is down or overloaded; 0 = one try. At most 600: a server
    refuses signatures that are older than 15 minutes."""

    def __post_init__(self) -> None:
        if not 0 <= self.outage_timeout_s <= _MAX_OUTAGE_S:
            raise ValueError(f"outage_timeout_s: got {self.outage_timeout_s}, wanted 0 to {_MAX_OUTAGE_S} seconds")
        if self.uri.startswith("s3://"):
            object.__setattr__(self, "kind", "s3")

    def impatient(self) -> StorageConfig:
        """For what is not worth waiting for, such as progress: one try, and a short one."""
        return replace(self, timeout_s=min(self.timeout_s, _IMPATIENT_S), outage_timeout_s=0.0)


@config
class TrackingConfig:
    kind: Literal["mlflow", "null"] = unhashed("mlflow")
    """`mlflow`, or `null` (as an override `tracking.kind='null'`): nothing is logged, to no server and not
    beside the artifacts either, so reports have no curves."""
    uri: str = unhashed("")
    """MLflow server; empty = one started on loopback by `mimo run`; on a cluster that has none, metrics are only
    journalled beside the artifacts."""
    experiment: str = unhashed("mimo-vl")
    """Name of the MLflow experiment."""
    timeout_s: PositiveFloat = unhashed(5.0)
    """Per request; when the server is away, metrics are journalled and sent by `finalize`."""
    system_metrics_interval_s: NonNegativeFloat = unhashed(10.0)
    """Seconds between two readings of CPU, memory and GPU; 0 = none are taken."""
    kfp_run: str = unhashed("")
    """Address of the Kubeflow Pipelines run that made the pipeline; a tag of the MLflow run. A run that only shows the
    pipeline is found without it."""
    cluster_link: str = unhashed("")
    """Address of a page that shows the pipeline in its cluster; a tag of the MLflow run. Empty = on a cluster the one
    that the operator knows (`operator.clusterLink` of the chart)."""
