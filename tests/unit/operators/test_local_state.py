"""The run folder: one controller, edits that keep each other, names from folders, tables and summaries."""

from __future__ import annotations

import pytest

from mimo_vl.errors import ConfigError, InputError
from operators.mimo_pipeline.api import InputSpec, Phase, StageState, StageStatus
from operators.mimo_pipeline.local.begin import Wanted, begin
from operators.mimo_pipeline.local.settings import inherited_environment
from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder
from operators.mimo_pipeline.naming import leaf_name, pipeline_name_from, run_id
from tests.fakes.pipelines import RUNTIME, chain, started, succeeded


def _created(folder: RunFolder) -> PipelineObject:
    pipeline = PipelineObject(metadata=Metadata(name="demo", uid="0123456789"), spec=chain())
    folder.create(pipeline)
    return pipeline


def test_the_object_survives_writing_and_reading(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.load_or_none() is None
    assert _created(folder) == folder.load()


def test_saving_the_status_keeps_an_edit_of_the_spec_made_meanwhile(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    _created(folder)
    folder.edit_spec(lambda p: p.spec.model_copy(update={"suspend": True}))
    folder.save_status("0123456789", started(chain()))
    found = folder.load()
    assert found.spec.suspend
    assert found.status.started_at is not None
    assert found.metadata.generation == 2


def test_a_status_of_another_run_is_not_saved(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    _created(folder)
    folder.save_status("another", started(chain()))
    assert folder.load().status.started_at is None


def test_an_edit_that_changes_nothing_is_no_new_generation(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    _created(folder)
    folder.edit_spec(lambda p: p.spec)
    assert folder.load().metadata.generation == 1


def test_a_damaged_object_is_named_with_the_way_out(tmp_path) -> None:
    folder = RunFolder(tmp_path)
    folder.object_path.write_text('{"spec": 1}')
    with pytest.raises(InputError, match="use another --run-dir"):
        folder.load()


@pytest.mark.parametrize("elsewhere", [{"secret_ref": "models-reader"}, {"endpoint": "models.example.com"}])
def test_an_input_with_a_store_of_its_own_is_refused_on_one_machine(tmp_path, elsewhere) -> None:
    given = InputSpec(name="base", uri="s3://models/base", digest="sha256:b", **elsewhere)
    spec = chain().model_copy(update={"inputs": (given,)})
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"spec\.inputs\[base\]: secretRef.* give AWS_ACCESS_KEY_ID"):
        begin(folder, Wanted(spec=spec, runtime=RUNTIME))
    assert folder.load_or_none() is None
    plain = spec.model_copy(update={"inputs": (InputSpec(name="base", uri=given.uri, digest=given.digest),)})
    assert begin(folder, Wanted(spec=plain, runtime=RUNTIME)).spec.inputs[0].secret_ref is None


def test_a_folder_has_one_controller(tmp_path) -> None:
    folder = RunFolder(tmp_path)
    with folder.control(), pytest.raises(ConfigError, match="controlled by `mimo run` with pid"), folder.control():
        pass
    with folder.control():
        pass


def test_the_same_run_goes_on_and_a_finished_one_starts_anew(tmp_path) -> None:
    folder, wanted = RunFolder(tmp_path / "demo"), Wanted(spec=chain(), runtime=RUNTIME)
    first = begin(folder, wanted)
    folder.save_status(first.metadata.uid, started(chain(), succeeded("a")))
    assert begin(folder, wanted).metadata.uid == first.metadata.uid
    done = started(chain(), succeeded("a")).model_copy(update={"phase": Phase.SUCCEEDED})
    folder.save_status(first.metadata.uid, done)
    assert begin(folder, wanted).metadata.uid != first.metadata.uid


def test_other_code_or_another_graph_is_a_new_run(tmp_path) -> None:
    folder = RunFolder(tmp_path / "demo")
    first = begin(folder, Wanted(spec=chain(), runtime=RUNTIME))
    folder.save_status(first.metadata.uid, started(chain()))
    newer = RUNTIME.model_copy(update={"code_digest": "sha256:newer"})
    second = begin(folder, Wanted(spec=chain(), runtime=newer))
    third = begin(folder, Wanted(spec=chain(max_parallel_stages=2), runtime=newer))
    assert len({first.metadata.uid, second.metadata.uid, third.metadata.uid}) == 3


def test_going_on_after_a_failure_gives_new_attempts_and_keeps_what_is_finished(tmp_path) -> None:
    folder, wanted = RunFolder(tmp_path / "demo"), Wanted(spec=chain(), runtime=RUNTIME)
    first = begin(folder, wanted)
    failed = StageStatus(name="b", state=StageState.FAILED, attempt=3, failures=3)
    status = started(chain(), succeeded("a"), failed).model_copy(update={"phase": Phase.FAILED})
    folder.save_status(first.metadata.uid, status)
    again = begin(folder, wanted)
    assert again.metadata.uid == first.metadata.uid
    b = again.status.stage("b")
    assert (b.state, b.attempt, b.failures) == (StageState.PENDING, 3, 0)
    assert again.status.stage("a").state == StageState.SUCCEEDED


def test_names_are_made_from_folders() -> None:
    assert pipeline_name_from("demo") == "demo"
    assert pipeline_name_from("My Run_7") == "my-run-7"
    assert pipeline_name_from("2026") == "run-2026"
    assert len(pipeline_name_from("x" * 60)) == 17
    assert run_id("local", "demo", "0123456789") == "local/demo/01234567"
    assert leaf_name("demo", "morl", 2) == "demo-morl-2"


def test_children_do_not_inherit_the_stage_facts_of_an_outer_run(monkeypatch) -> None:
    monkeypatch.setenv("MIMO_STAGE", "morl")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("KEPT", "yes")
    env = inherited_environment()
    assert env["KEPT"] == "yes"
    assert not {"MIMO_STAGE", "PYTHONDONTWRITEBYTECODE"} & set(env)
