"""The environment that the controller writes is the one that a stage reads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.runtime import _input_credentials, _inputs_elsewhere
from mimo_vl.config.compose import compose
from mimo_vl.errors import ConfigError
from mimo_vl.schema.environment import VARIABLES, InputStore, StageEnvironment, credential_variables
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage import Credentials
from operators.mimo_pipeline.api import InputSpec
from operators.mimo_pipeline.builders.leaf import build_leaf
from operators.mimo_pipeline.builders.process import STAGE_MODULES, RunFacts, build_process
from operators.mimo_pipeline.plan import Create, InputArtifact
from tests.fakes.clusters import STAGES, attempt_of, facts_of
from tests.fakes.pod_security import pod_templates

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


_CASES = [(profile, kind) for profile, stages in STAGES.items() for kind in stages]
# What the launcher tells its own ranks.
_WITHIN_THE_POD = {"MIMO_CLAIM_OWNER", "MIMO_FAILURE_DIR"}
# Left to what the process does without them.
_UNSET = {"MIMO_REWARD_PORT", "MIMO_REWARD_TOKEN"}


@pytest.mark.parametrize(("profile", "kind"), _CASES)
def test_what_every_kind_of_job_on_a_cluster_writes_is_read_back(profile, kind) -> None:
    containers = _containers(profile, kind)
    assert containers
    for container in containers:
        env = {e["name"]: e.get("value", "") for e in container["env"]}
        assert set(VARIABLES.values()) <= set(env)
        read = StageEnvironment.from_environ(env)
        stage = STAGES[profile][kind]
        assert (read.stage, read.attempt, read.stage_key) == (stage.name, 2, "sha256:key")
        assert read.run_id == "train/demo/0123abcd"
        assert read.tracking_uri == "http://mimo-mlflow:5000"
        assert read.output_uri == f"{facts_of(profile).store.uri}/runs/{read.run_id}/{stage.name}/attempt-2"
        assert read.image == _image(profile, kind, container)
        assert read.resume_from_uri == read.output_uri.removesuffix("2") + "1/checkpoints"
        assert read.inputs == {n: InputRef(uri=f"s3://mimo/{n}", digest=f"sha256:{n}") for n in stage.depends_on}
        mounted = [m["mountPath"] for m in container["volumeMounts"]]
        assert str(read.config_path.parent) in mounted


def test_our_variables_are_written_if_and_only_if_a_process_reads_them() -> None:
    written = {
        e["name"] for profile, kind in _CASES for container in _containers(profile, kind) for e in container["env"]
    }
    ours = {name for name in written if name.startswith("MIMO_")}
    root = Path(__file__).parents[2]
    sources = [root / "mimo_vl" / "schema" / "environment.py", *sorted((root / "jobs").glob("*.py"))]
    read = {name for path in sources for name in re.findall(r'"(MIMO_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    assert ours == read - _WITHIN_THE_POD - _UNSET


@pytest.mark.parametrize("kind", STAGES["tiny"])
def test_keys_and_address_of_an_inputs_own_store_reach_every_process_that_reads_it(kind) -> None:
    stage = STAGES["tiny"][kind]
    read, unread = stage.depends_on[0], "not-read"
    facts = replace(facts_of("tiny"), inputs=(_given(read), _given(unread)))
    containers = _containers("tiny", kind, facts)
    assert containers
    for container in containers:
        by_name = {e["name"]: e for e in container["env"]}
        env = {name: e.get("value", "") for name, e in by_name.items()}
        names = credential_variables(read)
        assert not set(by_name) & set(credential_variables(unread))
        references = [by_name[name]["valueFrom"]["secretKeyRef"] for name in names]
        assert [(r["name"], r["key"]) for r in references] == [
            (f"{read}-reader", "AWS_ACCESS_KEY_ID"),
            (f"{read}-reader", "AWS_SECRET_ACCESS_KEY"),
        ]
        # What the input does not say is as in the pipeline's store.
        assert StageEnvironment.from_environ(env).input_stores == {
            read: InputStore(endpoint="models.example.com", region="us-east-1", secure=True)
        }
        access = _inputs_elsewhere(StageEnvironment.from_environ(env), compose("tiny"), env | dict.fromkeys(names, "k"))
        [(uri, found)] = access.items()
        assert (uri, found.storage.endpoint, found.storage.kind) == (f"s3://mimo/{read}", "models.example.com", "s3")
        assert found.credentials() == Credentials(access_key="k", secret_key="k")
        assert "secret_key" not in repr(found.credentials())


def test_the_variables_of_an_input_are_named_after_it() -> None:
    assert credential_variables("long-context-sft") == (
        "MIMO_INPUT_LONG_CONTEXT_SFT_ACCESS_KEY_ID",
        "MIMO_INPUT_LONG_CONTEXT_SFT_SECRET_ACCESS_KEY",
    )


def test_an_input_without_keys_of_its_own_is_read_with_those_of_the_pipeline_and_half_a_pair_is_refused() -> None:
    assert _input_credentials("base", {}) is None
    with pytest.raises(ConfigError, match="MIMO_INPUT_BASE_SECRET_ACCESS_KEY: only one is set"):
        _input_credentials("base", {"MIMO_INPUT_BASE_ACCESS_KEY_ID": "k"})


def test_a_wrong_address_of_an_inputs_store_is_named() -> None:
    env = dict(build_process(_CREATE, _FACTS).env)
    env["MIMO_INPUTS"] = (
        '{"base":{"uri":"s3://a","digest":"d","store":{"endpoint":"x","region":"r","secure":true,"k":1}}}'
    )
    with pytest.raises(ConfigError, match=r"MIMO_INPUTS\.base\.k"):
        StageEnvironment.from_environ(env)


def _given(name):
    return InputSpec(
        name=name,
        uri=f"s3://mimo/{name}",
        digest=f"sha256:{name}",
        secret_ref=f"{name}-reader",
        endpoint="models.example.com",
        secure=True,
    )


def _image(profile, kind, container):
    """The image that the container runs; a TrainJob names it once for all its pods."""
    images = facts_of(profile).settings.images
    expected = images.rollout if kind == "rayjob" else images.trainer
    assert container.get("image", expected.reference) == expected.reference
    return expected.reference


def _containers(profile, kind, facts=None):
    """The containers that run processes of the stage."""
    stage = STAGES[profile][kind]
    leaf = build_leaf(attempt_of(stage), stage, facts or facts_of(profile))
    found = [c for _, pod in pod_templates(leaf) for c in pod["spec"]["containers"] if c["name"] != "ray-job-submitter"]
    if leaf["kind"] == "TrainJob":
        return [{**found[0], "env": leaf["spec"]["trainer"]["env"]}]
    return found
