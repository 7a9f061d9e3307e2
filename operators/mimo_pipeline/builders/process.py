"""The process that runs one attempt on one machine: argv and environment of the launcher. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mimo_vl.schema.environment import VARIABLES, InputStore, StageEnvironment
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage.layout import CHECKPOINTS_DIR, attempt_prefix
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES, StageName
from operators.mimo_pipeline.plan import Create

# Python module of each stage's process.
STAGE_MODULES: Mapping[str, str] = {
    StageName.BASE: "jobs.base",
    StageName.CURATE: "jobs.curate",
    **dict.fromkeys(PRETRAINING_STAGES, "jobs.train"),
    StageName.CURATE_RL: "jobs.curate_rl",
    **dict.fromkeys(REWARD_MODEL_STAGES, "jobs.train"),
    StageName.MORL: "jobs.morl",
    StageName.EVALUATE: "jobs.evaluate",
    StageName.FINALIZE: "jobs.finalize",
}


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What all attempts of one run share."""

    namespace: str
    pipeline: str
    run_id: str
    store_uri: str
    config_path: str
    code_digest: str
    python: str
    modules: Mapping[str, str]
    num_procs: Mapping[str, int]
    input_stores: Mapping[str, InputStore] = field(default_factory=dict)
    """By URI of the input; others lie in the pipeline's store."""
    image: str = ""
    """Reference of the container image; empty on one machine."""


@dataclass(frozen=True, kw_only=True)
class Process:
    stage: str
    attempt: int
    key: str
    argv: tuple[str, ...]
    env: Mapping[str, str]


def build_process(create: Create, facts: RunFacts) -> Process:
    module = facts.modules[create.stage]
    launcher = (facts.python, "-m", "jobs.launch", "--nproc", str(facts.num_procs.get(create.stage, 1)))
    return Process(
        stage=create.stage,
        attempt=create.attempt,
        key=create.key,
        argv=(*launcher, "--", module),
        env=stage_environment(create, facts),
    )


def stage_environment(create: Create, facts: RunFacts) -> dict[str, str]:
    """The contract between controller and process, without the tracking URI, which is known when it starts."""
    resume = ""
    if create.resume_attempt is not None:
        resume = f"{_attempt_uri(create.stage, create.resume_attempt, facts)}/{CHECKPOINTS_DIR}"
    variables = StageEnvironment(
        namespace=facts.namespace,
        pipeline=facts.pipeline,
        run_id=facts.run_id,
        stage=StageName(create.stage),
        attempt=create.attempt,
        config_path=Path(facts.config_path),
        inputs={name: InputRef(uri=ref.uri, digest=ref.digest) for name, ref in create.inputs.items()},
        input_stores={n: facts.input_stores[r.uri] for n, r in create.inputs.items() if r.uri in facts.input_stores},
        output_uri=_attempt_uri(create.stage, create.attempt, facts),
        stage_key=create.key,
        code_digest=facts.code_digest,
        image=facts.image,
        resume_from_uri=resume,
    ).to_environ()
    del variables[VARIABLES["tracking_uri"]]
    return variables


def _attempt_uri(stage: str, attempt: int, facts: RunFacts) -> str:
    return f"{facts.store_uri.rstrip('/')}/{attempt_prefix(facts.run_id, stage, attempt)}"
