"""The environment by which a controller tells a stage process what to do; the only such contract.

Ranks and threads (RANK, WORLD_SIZE, ...) come from the launcher and are not part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from mimo_vl.canonical import canonical_json
from mimo_vl.errors import ConfigError
from mimo_vl.schema.manifest import InputRef
from mimo_vl.schema.record import Record
from mimo_vl.vocabulary import StageName

# Field of StageEnvironment -> name of the variable.
VARIABLES: Mapping[str, str] = {
    "namespace": "MIMO_NAMESPACE",
    "pipeline": "MIMO_PIPELINE",
    "run_id": "MIMO_RUN_ID",
    "stage": "MIMO_STAGE",
    "attempt": "MIMO_ATTEMPT",
    "config_path": "MIMO_CONFIG",
    "inputs": "MIMO_INPUTS",
    "output_uri": "MIMO_OUTPUT",
    "stage_key": "MIMO_STAGE_KEY",
    "code_digest": "MIMO_CODE_DIGEST",
    "image": "MIMO_IMAGE",
    "resume_from_uri": "MIMO_RESUME_FROM",
    "tracking_uri": "MLFLOW_TRACKING_URI",
    "kfp_run": "MIMO_KFP_RUN",
}
_OPTIONAL = {"stage_key", "code_digest", "image", "resume_from_uri", "tracking_uri", "kfp_run", "inputs"}


def credential_variables(name: str) -> tuple[str, str]:
    """Variables with access key and secret key for the store of an input, where it has keys of its own."""
    prefix = f"MIMO_INPUT_{name.upper().replace('-', '_')}"
    return f"{prefix}_ACCESS_KEY_ID", f"{prefix}_SECRET_ACCESS_KEY"


class InputStore(Record):
    """The S3 server of an input that lies elsewhere than the pipeline's artifacts."""

    endpoint: str
    region: str
    secure: bool


class StageEnvironment(Record):
    namespace: str
    pipeline: str
    # <namespace>/<pipeline>/<uid8>
    run_id: str
    stage: StageName
    attempt: int = Field(ge=1)
    # Composed YAML.
    config_path: Path
    # Name of the stage that made it (or of a spec.input) -> artifact.
    inputs: dict[str, InputRef] = Field(default_factory=dict)
    # Of those inputs that lie in another store; in MIMO_INPUTS their key `store`.
    input_stores: dict[str, InputStore] = Field(default_factory=dict)
    # URI prefix of this attempt: <store>/runs/<run_id>/<stage>/attempt-<n>
    output_uri: str
    stage_key: str = ""
    code_digest: str = ""
    # Reference of the container image; "" = none.
    image: str = ""
    # URI prefix `<earlier attempt>/checkpoints`; "" = start from the beginning.
    resume_from_uri: str = ""
    # "" = no tracking server: metrics are journalled only.
    tracking_uri: str = ""
    # Run in Kubeflow Pipelines that shows the pipeline: its address, or its id; "" = none is known.
    kfp_run: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> StageEnvironment:
        """Raises ConfigError that lists every missing or wrong variable."""
        missing = [VARIABLES[f] for f in VARIABLES if f not in _OPTIONAL and not environ.get(VARIABLES[f])]
        if missing:
            raise ConfigError(f"environment: {', '.join(missing)} not set; the controller sets them for every stage")
        values: dict[str, object] = {f: environ[name] for f, name in VARIABLES.items() if environ.get(name)}
        try:
            values |= _split_inputs(json.loads(environ.get(VARIABLES["inputs"]) or "{}"))
        except json.JSONDecodeError as error:
            raise ConfigError(f"MIMO_INPUTS: {error}; wanted JSON: name -> {{uri, digest, store}}") from error
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError("\n".join(_describe(e) for e in error.errors())) from error

    def to_environ(self) -> dict[str, str]:
        """The variables to set; `from_environ(to_environ())` gives the same record."""
        values = self.model_dump(mode="json")
        stores = values.pop("input_stores")
        described = {n: ref | ({"store": stores[n]} if n in stores else {}) for n, ref in values.pop("inputs").items()}
        inputs = canonical_json(described).decode()
        return {VARIABLES[name]: str(value) for name, value in values.items()} | {VARIABLES["inputs"]: inputs}


def _split_inputs(described: Any) -> dict[str, object]:
    """Anything but a map of maps is left to validation."""
    if not isinstance(described, dict) or not all(isinstance(value, dict) for value in described.values()):
        return {"inputs": described}
    inputs = {name: {k: v for k, v in value.items() if k != "store"} for name, value in described.items()}
    return {"inputs": inputs, "input_stores": {n: v["store"] for n, v in described.items() if "store" in v}}


def _describe(error: Mapping[str, object]) -> str:
    location = error["loc"]
    assert isinstance(location, tuple)
    name, *rest = location
    variable = VARIABLES["inputs" if name == "input_stores" else str(name)]
    return f"{'.'.join([variable, *map(str, rest)])}: got {error.get('input')!r}; {error['msg']}"
