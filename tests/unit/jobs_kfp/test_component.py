"""What a step hands out: the stage's metrics, and where its output is, never its bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobs import kfp_component
from jobs.kfp_component import follow_report, follow_stage, given_reference, make_pipeline, stage_metrics
from jobs.run_source import build_source
from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import EXIT_RETRY, StorageError
from mimo_vl.stop_request import StopRequest
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.api import InputSpec, StageProgress, StageState, StageStatus
from tests.fakes.kfp_target import RUN, FakeKfpTarget, mine, request
from tests.fakes.pipelines import succeeded


@dataclass
class Artifact:
    path: str
    metadata: dict = field(default_factory=dict)


class StoredTarget(FakeKfpTarget):
    """Its pipeline's outputs lie in a real store."""

    def __init__(self, root: Path) -> None:
        super().__init__(mine())
        self.store = LocalStore(root)
        self.is_store_away = False

    @contextmanager
    def open_source(self, pipeline) -> Iterator:
        if self.is_store_away:
            raise StorageError("the store is away")
        yield build_source(pipeline, self.store, StorageConfig())

    def publish(self, *, x: str = "x", name: str = "x", **metrics: float) -> StageStatus:
        folder = self.store.local_path("files")
        folder.mkdir(parents=True)
        (folder / name).write_text(x)
        manifest = publish_directory(
            self.store, "b", folder, stage="b", attempt=1, run_id="r", stage_key="k", metrics=metrics
        )
        progress = StageProgress(step=3, metrics={"loss": 9.0})
        done = succeeded("b", output_uri=self.store.uri("b"), digest=manifest.content_digest, progress=progress)
        self.show(succeeded("a"), done)
        return done


@pytest.fixture
def target(tmp_path, monkeypatch) -> StoredTarget:
    target = StoredTarget(tmp_path / "store")
    monkeypatch.setattr(kfp_component, "open_kfp_target", lambda _: target)
    monkeypatch.setattr(kfp_component, "_watch_sigterm", StopRequest)
    return target


def test_a_step_hands_out_metrics_and_the_place_of_the_output(target, tmp_path) -> None:
    done = target.publish(loss=0.5, steps=3.0)
    metrics, model = Artifact(str(tmp_path / "m")), Artifact(str(tmp_path / "out" / "model"))
    follow_stage("b", request().to_values(), metrics, model)
    assert metrics.metadata == {"loss": 0.5, "steps": 3.0}
    assert model.metadata == {
        "mimo_uri": done.output_uri,
        "digest": done.digest,
        "mimo_pipeline": "train/kfp-11112222/0123abcd",
        "stage": "b",
        "attempt": 1,
        "reused": False,
    }
    assert json.loads(Path(model.path).read_text()) == model.metadata


def test_without_the_store_the_metrics_are_those_that_the_stage_told_last(target) -> None:
    done = target.publish(loss=0.5)
    target.is_store_away = True
    assert stage_metrics(target, target.load(), done) == {"loss": 9.0}
    assert stage_metrics(target, target.load(), done.model_copy(update={"progress": None})) == {}


def test_the_report_itself_is_shown_and_its_place_where_it_cannot_be_read(target, tmp_path) -> None:
    done = target.publish(x="<html>the report</html>", name="report.html")
    page = Artifact(str(tmp_path / "page"))
    follow_report("b", request().to_values(), Artifact(""), page)
    assert Path(page.path).read_text() == "<html>the report</html>"
    assert page.metadata["mimo_uri"] == done.output_uri
    target.is_store_away = True
    follow_report("b", request().to_values(), Artifact(""), page)
    assert f"The report is in {done.output_uri}." in Path(page.path).read_text()
    follow_report("morl", request().to_values(), Artifact(""), page)
    assert "nowhere: the stage does not run" in Path(page.path).read_text()


def test_a_stage_that_is_given_hands_on_the_input(target) -> None:
    given = InputSpec(name="base", uri="s3://models/base", digest="sha256:1")
    pipeline = target.load()
    pipeline = pipeline.model_copy(update={"spec": pipeline.spec.model_copy(update={"inputs": (given,)})})
    common = {"mimo_pipeline": "train/kfp-11112222/0123abcd"}
    assert given_reference(pipeline, "base") == {
        **common,
        "stage": "base",
        "mimo_uri": "s3://models/base",
        "digest": "sha256:1",
    }
    assert given_reference(pipeline, "morl") == {**common, "stage": "morl"}


def test_a_failed_stage_ends_the_step_with_one_line(target, tmp_path, capsys) -> None:
    target.show(succeeded("a"), StageStatus(name="b", state=StageState.FAILED, attempt=1, reason="Crashed"))
    artifact = Artifact(str(tmp_path / "m"))
    with pytest.raises(SystemExit) as ended:
        follow_stage("b", request().to_values(), artifact, artifact)
    assert ended.value.code == EXIT_RETRY
    assert capsys.readouterr().out.endswith("error: b is Failed (attempt 1): Crashed\n")
    assert artifact.metadata == {}


def test_the_first_step_makes_the_pipeline_and_hands_on_what_was_asked(target, capsys) -> None:
    target.pipeline = None
    values = request(overrides=("seed=7",)).to_values()
    assert make_pipeline(values) == values
    assert target.num_created == 1
    assert target.load().metadata.annotations == {"mimo.dev/kfp-run": RUN}
    assert "stages a, b, end" in capsys.readouterr().out
