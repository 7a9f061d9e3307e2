"""The MimoPipeline resource: what a user writes (spec) and what the controller answers (status).

The same types serve the Kubernetes CRD and the state file of the local runner. JSON uses camelCase.
Once `status.startedAt` is set only the controls (suspend, cancel, retry, approvals) and the TTL may change.

workloads.py   what runs a stage, and its pods
status.py      phase, stages, conditions
storage_settings.py    store and tracking
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mimo_vl.canonical import canonical_json
from operators.mimo_pipeline.api_model import ApiModel, Digest, LabelValue, ObjectName, StageName, Uri
from operators.mimo_pipeline.status import (
    ACTIVE_STATES,
    TERMINAL_PHASES,
    TERMINAL_STATES,
    Condition,
    LastFailure,
    MimoPipelineStatus,
    Phase,
    PipelineRuntime,
    StageProgress,
    StageState,
    StageStatus,
)
from operators.mimo_pipeline.storage_settings import StoreSettings, TrackingSettings
from operators.mimo_pipeline.workloads import (
    JobWorkload,
    PodSettings,
    PytorchWorkload,
    RayGroup,
    RayWorkload,
    StageKind,
    Toleration,
)

GROUP, VERSION, KIND, PLURAL = "mimo.dev", "v1alpha1", "MimoPipeline", "mimopipelines"

DAY_S = 86_400
# Fields of the spec that may change while the pipeline runs.
CONTROL_FIELDS = frozenset({"suspend", "cancel", "retry", "approvals", "ttl_seconds_after_finished"})


class Comparison(StrEnum):
    GT = ">"
    GE = ">="
    LT = "<"
    LE = "<="


class Gate(ApiModel):
    """A stage fails with GateNotMet unless `metric` of its manifest compares like this with `threshold`."""

    metric: str = Field(min_length=1, max_length=128)
    """Name of a metric in the manifest."""
    comparison: Comparison
    """How it has to compare."""
    threshold: float = Field(ge=-1e15, le=1e15)
    """What it is compared with."""


class RetryPolicy(ApiModel):
    max_attempts: int = Field(default=3, ge=1, le=100)
    """Attempts that may fail; interruptions that are explained do not count."""
    backoff_seconds: float = Field(default=5.0, ge=0, le=DAY_S)
    """Before the second attempt; doubled each time, up to maxBackoffSeconds."""
    max_backoff_seconds: float = Field(default=300.0, ge=0, le=DAY_S)
    """No wait is longer."""


class Approval(StrEnum):
    NONE = "none"
    MANUAL = "manual"


class StageSpec(ApiModel):
    """One stage. At most one of job, pytorch and ray says what runs it; none of them is a job."""

    name: StageName
    """One of the stages of the configuration."""
    job: JobWorkload | None = None
    pytorch: PytorchWorkload | None = None
    ray: RayWorkload | None = None
    depends_on: tuple[StageName, ...] = Field(default=(), max_length=64)
    """Stages whose outputs it reads; it starts when they have succeeded."""
    inputs: tuple[StageName, ...] = Field(default=(), max_length=64)
    """Names out of spec.inputs."""
    run_on_failure: bool = False
    """Start when all that it depends on has ended, however it ended (finalize)."""
    gate: Gate | None = None
    approval: Approval = Approval.NONE
    """manual: its output is used only after `mimo approve`."""
    retry: RetryPolicy = Field(default_factory=RetryPolicy)
    """How often a failed attempt is followed by another, and when."""

    @property
    def kind(self) -> StageKind:
        if self.pytorch is not None:
            return StageKind.PYTORCH
        return StageKind.RAY if self.ray is not None else StageKind.JOB

    @property
    def num_procs(self) -> int:
        """Ranks of the stage, all nodes together."""
        return self.pytorch.num_nodes * self.pytorch.num_procs_per_node if self.pytorch else 1


class InputSpec(ApiModel):
    """An artifact made elsewhere. What is not said about its store is as in the pipeline's own."""

    name: StageName
    """Stages name it in `inputs`; named like a stage, it stands for the output of that stage."""
    uri: Uri
    """Folder of the artifact: it has a manifest.json."""
    digest: Digest
    """Content digest of its manifest; other bytes are refused."""
    secret_ref: ObjectName | None = None
    """Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for its store."""
    endpoint: ObjectName | None = None
    """Host:port of its S3 server; empty = that of Amazon."""
    region: Annotated[str, Field(max_length=63)] | None = None
    """Of its bucket."""
    secure: bool | None = None
    """TLS to its server."""

    @property
    def lies_elsewhere(self) -> bool:
        """It is not read like the pipeline's own artifacts."""
        return (self.secret_ref, self.endpoint, self.region, self.secure) != (None, None, None, None)


class RetryRequest(ApiModel):
    """Run `from` and everything after it anew. A new nonce is a new request."""

    from_stage: StageName = Field(alias="from")
    """First stage to run anew."""
    nonce: str = Field(min_length=1, max_length=64)
    """Any text that was not used before; a request is carried out once."""


class StageApproval(ApiModel):
    """Bound to the stage key: a re-run with other inputs has to be approved again."""

    stage: StageName
    """Which stage's output may be used."""
    key: Digest
    """The stage's key, as the status shows it."""


class MimoPipelineSpec(ApiModel):
    """What to run: a profile of the configuration, and the stages. suspend, cancel, retry and approvals steer it."""

    profile: str = Field(min_length=1, max_length=64)
    """Configuration profile: tiny, smol or mimo_vl_7b."""
    overrides: tuple[Annotated[str, Field(max_length=512)], ...] = Field(default=(), max_length=256)
    """path.to.field=value, over the profile's configuration."""
    inputs: tuple[InputSpec, ...] = Field(default=(), max_length=64)
    storage: StoreSettings | None = None
    """Not set = the store of the operator's settings."""
    tracking: TrackingSettings | None = None
    """Not set = the tracking server of the operator's settings."""
    stages: tuple[StageSpec, ...] = Field(min_length=1, max_length=64)
    """Their names are those of the configuration; what they need is in dependsOn."""
    max_parallel_stages: int = Field(default=1, ge=1, le=64)
    """Stages that may run at once, where their order allows it."""
    queue_name: LabelValue = ""
    """Kueue LocalQueue that admits the jobs of the stages; empty = that of the operator's settings, if any."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=3650 * DAY_S)
    """Deletes the finished jobs after this time, never artifacts."""
    suspend: bool = False
    """Save and stop the running stage; start nothing until it is false again."""
    cancel: bool = False
    """Stop for good; finished stages keep their outputs."""
    retry: RetryRequest | None = None
    approvals: tuple[StageApproval, ...] = Field(default=(), max_length=256)

    def stage(self, name: str) -> StageSpec:
        return next(s for s in self.stages if s.name == name)

    def fixed_digest(self) -> str:
        """Identity of everything that must not change after the start.

        Defaults are left out: a controller that knows one more field gives a running pipeline the same identity.
        """
        fixed = self.model_dump(mode="json", exclude=set(CONTROL_FIELDS), exclude_defaults=True)
        return "sha256:" + hashlib.sha256(canonical_json(fixed)).hexdigest()


__all__ = [
    "ACTIVE_STATES",
    "CONTROL_FIELDS",
    "GROUP",
    "KIND",
    "PLURAL",
    "TERMINAL_PHASES",
    "TERMINAL_STATES",
    "VERSION",
    "ApiModel",
    "Approval",
    "Comparison",
    "Condition",
    "Gate",
    "InputSpec",
    "JobWorkload",
    "LastFailure",
    "MimoPipelineSpec",
    "MimoPipelineStatus",
    "Phase",
    "PipelineRuntime",
    "PodSettings",
    "PytorchWorkload",
    "RayGroup",
    "RayWorkload",
    "RetryPolicy",
    "RetryRequest",
    "StageApproval",
    "StageKind",
    "StageProgress",
    "StageSpec",
    "StageState",
    "StageStatus",
    "StoreSettings",
    "Toleration",
    "TrackingSettings",
]
