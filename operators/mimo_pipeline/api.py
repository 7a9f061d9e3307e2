"""The MimoPipeline resource: what a user writes (spec) and what the controller answers (status).

The same types serve the Kubernetes CRD and the state file of the local runner. JSON uses camelCase.
Once `status.startedAt` is set only the controls (suspend, cancel, retry, approvals) and the TTL may change.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from mimo_vl.canonical import canonical_json

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$", max_length=20)]
ResourceName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9./]*[a-z0-9])?$", max_length=253)]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$", max_length=317)]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)]
TuningVariable = Annotated[str, Field(pattern=r"^(NCCL|GLOO|UCX|FI|OMP|TORCH|CUDA|RAY)_[A-Z0-9_]+$", max_length=128)]
StageName = Annotated[str, Field(max_length=40)]

# Fields of the spec that may change while the pipeline runs.
CONTROL_FIELDS = frozenset({"suspend", "cancel", "retry", "approvals", "ttl_seconds_after_finished"})


class ApiModel(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )

    def to_values(self) -> dict[str, Any]:
        """Plain JSON values with camelCase keys; None is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StageKind(StrEnum):
    """How a stage runs on a cluster; on one machine all are process groups of the launcher."""

    JOB = "job"
    PYTORCH = "pytorch"
    RAY = "ray"


class Comparison(StrEnum):
    GT = ">"
    GE = ">="
    LT = "<"
    LE = "<="


class Gate(ApiModel):
    """A stage fails with GateNotMet unless `metric` of its manifest compares like this with `threshold`."""

    metric: str = Field(max_length=128)
    comparison: Comparison
    threshold: float


class RetryPolicy(ApiModel):
    max_attempts: int = Field(default=3, ge=1, le=100)
    """Attempts that may fail; interruptions that are explained do not count."""
    backoff_seconds: float = Field(default=5.0, ge=0)
    max_backoff_seconds: float = Field(default=300.0, ge=0)


class Approval(StrEnum):
    NONE = "none"
    MANUAL = "manual"


class Toleration(ApiModel):
    key: str = Field(default="", max_length=253)
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = Field(default="", max_length=63)
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


class PodSettings(ApiModel):
    """What a user may say about the pods of a stage. Typed fields only: nothing here can raise a pod's rights.

    What is not set comes from the operator's settings for this kind of pod.
    """

    requests: dict[ResourceName, Quantity] = Field(default_factory=dict, max_length=16)
    limits: dict[ResourceName, Quantity] = Field(default_factory=dict, max_length=16)
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=16)
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=16)
    priority_class_name: str = Field(default="", max_length=253)
    topology_key: str = Field(default="", max_length=253)
    """Node label; pods of one attempt are kept in one domain of it, such as a rack, where possible."""
    shm_size: Quantity | None = None
    """Memory emptyDir at /dev/shm; counted in the memory limit."""
    scratch_size: Quantity | None = None
    """Limit of the emptyDir that holds checkpoints and downloaded inputs while the pod lives."""
    termination_grace_period_seconds: int | None = Field(default=None, ge=1, le=86_400)
    """At least the time that saving a checkpoint takes."""
    env: dict[TuningVariable, Annotated[str, Field(max_length=1024)]] = Field(default_factory=dict, max_length=64)
    """Tuning of communication and threads (NCCL_*, GLOO_*, UCX_*, FI_*, OMP_*, TORCH_*, CUDA_*, RAY_*)."""


class JobWorkload(ApiModel):
    """One pod: a batch Job."""

    pod: PodSettings = Field(default_factory=PodSettings)


class PytorchWorkload(ApiModel):
    """Ranks of torch.distributed: num_nodes pods with num_procs_per_node ranks each."""

    num_nodes: int = Field(default=1, ge=1, le=4096)
    num_procs_per_node: int = Field(default=1, ge=1, le=64)
    backend: Literal["pytorchjob", "trainjob"] = "pytorchjob"
    pod: PodSettings = Field(default_factory=PodSettings)


class RayGroup(ApiModel):
    replicas: int = Field(default=1, ge=1, le=4096)
    pod: PodSettings = Field(default_factory=PodSettings)


class RayWorkload(ApiModel):
    """A RayJob: a head with the driver, and three worker groups."""

    head: PodSettings = Field(default_factory=PodSettings)
    trainer: RayGroup = Field(default_factory=RayGroup)
    rollout: RayGroup = Field(default_factory=RayGroup)
    reward: RayGroup = Field(default_factory=RayGroup)


class StageSpec(ApiModel):
    """One stage. Exactly one of job, pytorch and ray says what runs it; none is a job."""

    name: str = Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=40)
    job: JobWorkload | None = None
    pytorch: PytorchWorkload | None = None
    ray: RayWorkload | None = None
    depends_on: tuple[StageName, ...] = Field(default=(), max_length=64)
    inputs: tuple[StageName, ...] = Field(default=(), max_length=64)
    """Names out of spec.inputs."""
    run_on_failure: bool = False
    """Start when all that it depends on has ended, however it ended (finalize)."""
    gate: Gate | None = None
    approval: Approval = Approval.NONE
    retry: RetryPolicy = Field(default_factory=RetryPolicy)

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
    """An artifact made elsewhere. `secret_ref` names the Secret with the store's credentials."""

    name: str = Field(max_length=40)
    uri: str = Field(max_length=1024)
    digest: str = Field(max_length=80)
    secret_ref: str | None = Field(default=None, max_length=253)


class RetryRequest(ApiModel):
    """Run `from` and everything after it anew. A new nonce is a new request."""

    from_stage: str = Field(alias="from", max_length=40)
    nonce: str = Field(max_length=64)


class StageApproval(ApiModel):
    """Bound to the stage key: a re-run with other inputs has to be approved again."""

    stage: str = Field(max_length=40)
    key: str = Field(max_length=80)


class MimoPipelineSpec(ApiModel):
    profile: str = Field(max_length=64)
    overrides: tuple[Annotated[str, Field(max_length=512)], ...] = Field(default=(), max_length=256)
    inputs: tuple[InputSpec, ...] = Field(default=(), max_length=64)
    storage: dict[str, JsonValue] = Field(default_factory=dict)
    tracking: dict[str, JsonValue] = Field(default_factory=dict)
    stages: tuple[StageSpec, ...] = Field(max_length=64)
    max_parallel_stages: int = Field(default=1, ge=1, le=64)
    queue_name: str = Field(default="", max_length=63)
    """Kueue LocalQueue that admits the jobs of the stages; empty = none."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0)
    """Deletes the finished jobs after this time, never artifacts."""
    suspend: bool = False
    cancel: bool = False
    retry: RetryRequest | None = None
    approvals: tuple[StageApproval, ...] = Field(default=(), max_length=256)

    def stage(self, name: str) -> StageSpec:
        return next(s for s in self.stages if s.name == name)

    def fixed_digest(self) -> str:
        """Identity of everything that must not change after the start."""
        fixed = self.model_dump(mode="json", exclude=set(CONTROL_FIELDS))
        return "sha256:" + hashlib.sha256(canonical_json(fixed)).hexdigest()


class Phase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    AWAITING_APPROVAL = "AwaitingApproval"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


TERMINAL_PHASES = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})


class StageState(StrEnum):
    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    AWAITING_APPROVAL = "AwaitingApproval"
    RETRYING = "Retrying"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    SKIPPED = "Skipped"
    FAILED = "Failed"


TERMINAL_STATES = frozenset({StageState.SUCCEEDED, StageState.SKIPPED, StageState.FAILED})
ACTIVE_STATES = frozenset({StageState.QUEUED, StageState.RUNNING})


class StageProgress(ApiModel):
    step: int
    total: int = 0
    unit: str = "steps"
    message: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)


class StageStatus(ApiModel):
    name: str
    state: StageState = StageState.PENDING
    attempt: int = 0
    """The latest attempt; 0 = none yet."""
    key: str = ""
    output_uri: str = ""
    digest: str = ""
    reused: bool = False
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: StageProgress | None = None
    exit_code: int | None = None
    failures: int = 0
    """Attempts that count against retry.maxAttempts."""
    free_resumes: int = 0
    """Unexplained exits with 75 in a row, without a newer checkpoint."""
    resume_step: int = -1
    """Checkpoint step that the latest attempt started from; -1 = none."""
    not_before: datetime | None = None
    """End of the back-off."""
    stopped_attempt: int = 0
    """The attempt that the controller itself stopped: its end is explained."""
    fresh_after_attempt: int = 0
    """Set by a retry request: checkpoints of attempts up to this one, and earlier outputs, are not used."""
    rerun: bool = False
    """True from a retry request until the stage has its new output: the earlier one is not reused."""


class PipelineRuntime(ApiModel):
    """Frozen at the start for all attempts, so that an upgraded controller changes nothing half-way."""

    config: dict[str, JsonValue] = Field(default_factory=dict)
    """The composed configuration."""
    config_digests: dict[str, str] = Field(default_factory=dict)
    """Stage name -> digest of the configuration that its result depends on."""
    code_digest: str = ""
    image_digests: dict[str, str] = Field(default_factory=dict)
    spec_digest: str = ""


class Condition(ApiModel):
    type: str
    status: str
    """True, False or Unknown."""
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime


class MimoPipelineStatus(ApiModel):
    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    started_at: datetime | None = None
    finished_at: datetime | None = None
    runtime: PipelineRuntime | None = None
    stages: tuple[StageStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    handled_retry_nonce: str = ""

    def stage(self, name: str) -> StageStatus:
        return next(s for s in self.stages if s.name == name)
