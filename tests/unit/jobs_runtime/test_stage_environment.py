from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.errors import ConfigError
from mimo_vl.schema.environment import VARIABLES, StageEnvironment
from mimo_vl.schema.manifest import InputRef
from mimo_vl.vocabulary import StageName

ENV = StageEnvironment(
    namespace="local",
    pipeline="demo",
    run_id="local/demo/abcd1234",
    stage=StageName.MORL,
    attempt=2,
    config_path=Path("/etc/mimo/config.yaml"),
    inputs={"curate-rl": InputRef(uri="file:///x", digest="sha256:d")},
    output_uri="file:///store/runs/local/demo/abcd1234/morl/attempt-2",
    stage_key="sha256:k",
    resume_from_uri="file:///store/runs/local/demo/abcd1234/morl/attempt-1/checkpoints",
)


def test_what_the_controller_sets_is_what_the_process_reads() -> None:
    environ = ENV.to_environ()
    assert set(environ) == set(VARIABLES.values())
    assert StageEnvironment.from_environ(environ | {"PATH": "/bin"}) == ENV


def test_each_field_has_its_variable() -> None:
    # Stores of inputs travel inside MIMO_INPUTS.
    assert set(VARIABLES) == set(StageEnvironment.model_fields) - {"input_stores"}


def test_all_missing_variables_are_named_at_once() -> None:
    environ = {k: v for k, v in ENV.to_environ().items() if k not in ("MIMO_RUN_ID", "MIMO_CONFIG", "MIMO_STAGE_KEY")}
    with pytest.raises(ConfigError, match=r"environment: MIMO_RUN_ID, MIMO_CONFIG not set"):
        StageEnvironment.from_environ(environ)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MIMO_STAGE", "morel", r"MIMO_STAGE: got 'morel'"),
        ("MIMO_ATTEMPT", "0", r"MIMO_ATTEMPT: got '0'"),
        ("MIMO_INPUTS", "{", r"MIMO_INPUTS: .*wanted JSON"),
        ("MIMO_INPUTS", '{"base": {"uri": "x"}}', r"MIMO_INPUTS.base.digest"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StageEnvironment.from_environ(ENV.to_environ() | {name: value})
