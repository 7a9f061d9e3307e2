"""What a run in Kubeflow Pipelines asks for, as it travels from its first step to the others, and what it makes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline import naming
from operators.mimo_pipeline.api import RetryRequest, StoreSettings
from operators.mimo_pipeline.kubeflow.link import run_link
from operators.mimo_pipeline.submission import Submission, build_object, parse_inputs

_RUN_ID_CHARACTERS = 8


@dataclass(frozen=True, kw_only=True)
class KfpRequest:
    """Parameters of the pipeline, and the id of the run."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    run_id: str
    profile: str
    overrides: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    """NAME=URI@DIGEST[,SECRET], as `mimo submit --input` takes them."""
    storage: dict[str, Any] = field(default_factory=dict)
    """spec.storage; empty = the store of the operator's settings."""
    stages: tuple[str, ...] = ()
    """Only these; empty = all."""
    through: str = ""
    """Stop after this stage."""
    from_stage: str = ""
    """Run this one and what follows it anew, even where an earlier output could be reused."""
    name: str = ""
    """Of the MimoPipeline; empty = made from the run's id."""
    namespace: str = ""
    """Empty = that of the step's pod."""
    follow: bool = False
    """Create nothing: the MimoPipeline exists."""
    run_dir: str = ""
    """Folder of a run on one machine; empty = a cluster."""
    deadline_s: float = 604800.0
    """A step waits no longer for its stage."""
    kfp_ui: str = ""
    """Address of Kubeflow Pipelines in a browser, for the link from MLflow to the run; empty = the run's id alone."""
    kfp_endpoint: str = ""
    """API server of Kubeflow Pipelines, asked whether the run is being cancelled; empty = never."""

    @property
    def object_name(self) -> str:
        if self.run_dir and not self.name:
            return naming.pipeline_name_from(self.run_dir.rstrip("/").rsplit("/", 1)[-1])
        return self.name or f"kfp-{self.run_id[:_RUN_ID_CHARACTERS]}"

    @property
    def link(self) -> str:
        """What the tracking server shows of the run."""
        return run_link(self.kfp_ui, self.run_id)

    @property
    def metadata(self) -> dict[str, dict[str, str]]:
        """Labels and annotations of a MimoPipeline that this run makes."""
        labels = {naming.LABEL_MADE_BY: naming.MADE_BY_KUBEFLOW}
        return {"labels": labels, "annotations": {naming.ANNOTATION_KUBEFLOW_RUN: self.run_id}}

    @property
    def retry(self) -> RetryRequest | None:
        if not self.from_stage:
            return None
        return RetryRequest(from_stage=self.from_stage, nonce=f"kfp-{self.run_id}"[:64])

    def to_values(self) -> dict[str, Any]:
        """JSON values; read back by `request_from`."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def request_from(values: dict[str, Any]) -> KfpRequest:
    """Raises ConfigError for unknown and wrong parameters, all at once."""
    try:
        return TypeAdapter(KfpRequest).validate_python(values)
    except ValidationError as error:
        wrong = "\n".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"parameters of the pipeline:\n{wrong}") from error


def cluster_object(request: KfpRequest) -> dict[str, Any]:
    """The MimoPipeline to create. Raises ConfigError for everything that is wrong with it."""
    submission = Submission(
        profile=request.profile,
        name=request.object_name,
        namespace=request.namespace,
        overrides=(*request.overrides, f"tracking.kfp_run='{request.link}'"),
        inputs=parse_inputs(request.inputs),
        stages=request.stages,
        through=request.through,
    )
    body = build_object(submission)
    _require_stage(request, [s["name"] for s in body["spec"]["stages"]])
    if request.storage:
        body["spec"]["storage"] = _storage(request.storage)
    if request.retry is not None:
        body["spec"]["retry"] = request.retry.to_values()
    body["metadata"] |= request.metadata
    return body


def _storage(values: dict[str, Any]) -> dict[str, Any]:
    try:
        return StoreSettings.model_validate(values).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"storage: {wrong}; wanted the fields of spec.storage (docs/mimopipeline.md)") from error


def _require_stage(request: KfpRequest, names: list[str]) -> None:
    if request.from_stage and request.from_stage not in names:
        raise ConfigError(f"from_stage: {request.from_stage!r} is not in this run; choose from {names}")
