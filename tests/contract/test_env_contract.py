"""The environment that the controller writes is the one that a stage reads."""

from __future__ import annotations

from mimo_vl.schema.environment import VARIABLES, StageEnvironment
from mimo_vl.schema.manifest import InputRef
from operators.mimo_pipeline.builders.process import STAGE_MODULES, RunFacts, build_process
from operators.mimo_pipeline.plan import Create, InputArtifact

_FACTS = RunFacts(
    namespace="local",
    pipeline="demo",
    run_id="local/demo/0123abcd",
    store_uri="file:///runs/demo/store/",
    config_path="/runs/demo/config.yaml",
    code_digest="sha256:code",
    python="python3",
    modules=STAGE_MODULES,
    num_procs={"projector-warmup": 2},
)
_CREATE = Create(
    stage="projector-warmup",
    attempt=3,
    key="sha256:key",
    inputs={"base": InputArtifact(uri="file:///a", digest="sha256:a")},
    resume_attempt=2,
)


def test_every_variable_is_written_and_read_back() -> None:
    env = dict(build_process(_CREATE, _FACTS).env)
    # The tracking address is known only when the process starts.
    assert set(env) == set(VARIABLES.values()) - {VARIABLES["tracking_uri"]}
    read = StageEnvironment.from_environ(env)
    assert (read.stage, read.attempt, read.stage_key) == ("projector-warmup", 3, "sha256:key")
    assert read.inputs == {"base": InputRef(uri="file:///a", digest="sha256:a")}
    assert read.output_uri == "file:///runs/demo/store/runs/local/demo/0123abcd/projector-warmup/attempt-3"
    assert read.resume_from_uri == (
        "file:///runs/demo/store/runs/local/demo/0123abcd/projector-warmup/attempt-2/checkpoints"
    )


def test_the_process_is_the_launcher_with_the_ranks_of_the_stage() -> None:
    argv = build_process(_CREATE, _FACTS).argv
    assert argv == ("python3", "-m", "jobs.launch", "--nproc", "2", "--", "jobs.train")


def test_rendering_twice_gives_the_same_process() -> None:
    assert build_process(_CREATE, _FACTS) == build_process(_CREATE, _FACTS)


def test_without_an_earlier_attempt_there_is_nothing_to_resume() -> None:
    first = Create(stage="base", attempt=1, key="k", inputs={})
    assert build_process(first, _FACTS).env["MIMO_RESUME_FROM"] == ""
