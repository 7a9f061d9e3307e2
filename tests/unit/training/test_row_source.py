"""Training on rows of a dataset: which rows a resumed loop reads, and how a corrupt picture ends the stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from jobs.failures import read_failure
from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.training import CheckpointConfig, ScheduleConfig
from mimo_vl.data.plan import RowPlan
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.packed_row import PackedRow
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.training.row_source import RowSource
from mimo_vl.training.trainer import LoopConfig, Trainer
from mimo_vl.training.world import World
from mimo_vl.vocabulary import StageName
from tests.fakes.training_engine import FakeEngine
from tests.unit.data.builders import png, record, write_dataset

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def encoder() -> SampleEncoder:
    tokenizer = train_bpe(["one two three"] * 4, vocab_size=300)
    return SampleEncoder(tokenizer, ProcessingConfig(min_pixels=3136, max_pixels=50176))


class _RowEngine(FakeEngine):
    """The loss of every sample is the weight; notes the samples of each forward."""

    def __init__(self) -> None:
        super().__init__(2)
        self.sample_ids: list[tuple[str, ...]] = []

    def __call__(self, payload: object, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        assert isinstance(payload, PackedRow)
        self.sample_ids.append(payload.sample_ids)
        loss, losses_S = self.module(torch.ones(len(payload.sample_ids)), scale)
        return loss, losses_S


def _train(folder: Path, encoder: SampleEncoder, *, num_steps: int, first_step: int = 0) -> list[tuple[str, ...]]:
    """Two rows a step of the eight pictures in `folder`; returns the samples of each row that was trained on."""
    dataset = IndexedDataset(folder)
    plan = RowPlan(
        {"caption": dataset.costs()},
        mixture={"caption": 1.0},
        seed=0,
        capacity_tokens=64,
        capacity_patches=256,
        rows_per_step=2,
    )
    engine = _RowEngine()
    Trainer(
        engine,  # type: ignore[arg-type]
        RowSource(plan, {"caption": dataset}, encoder, rows_per_micro_batch=1, world=World()),
        LoopConfig(
            num_steps=num_steps,
            schedule=ScheduleConfig(),
            checkpoint=CheckpointConfig(every_steps=1000, keep_last=1),
            checkpoint_folder=folder,
        ),
        world=World(),
        callbacks=[],
        state=lambda _: {},
        seal=lambda *_: None,
        should_stop=lambda: False,
    ).run(first_step)
    return engine.sample_ids


def _write(folder: Path, *, broken: int | None = None) -> Path:
    images = [png(shade=i) for i in range(8)]
    if broken is not None:
        images[broken] = images[broken][:50]
    write_dataset(folder, [record(f"s{i}", images[i]) for i in range(8)], shard_size=8)
    return folder


def test_a_resumed_loop_goes_on_with_the_same_rows(tmp_path: Path, encoder: SampleEncoder) -> None:
    folder = _write(tmp_path / "caption")
    whole = _train(folder, encoder, num_steps=6)
    assert len(whole) == 12
    assert _train(folder, encoder, num_steps=6, first_step=4) == whole[8:]


def test_a_corrupt_picture_ends_the_stage_with_2_and_names_the_sample(tmp_path: Path, encoder: SampleEncoder) -> None:
    folder = _write(tmp_path / "caption", broken=5)

    def main(_: StageContext) -> Mapping[str, float]:
        _train(folder, encoder, num_steps=50)
        return {}

    (tmp_path / "config.yaml").write_text(dump_config(compose("tiny", ["tracking.kind='null'"])))
    env = StageEnvironment(
        namespace="local",
        pipeline="demo",
        run_id="local/demo/abcd1234",
        stage=StageName.PROJECTOR_WARMUP,
        attempt=1,
        config_path=tmp_path / "config.yaml",
        inputs={},
        output_uri=(tmp_path / "store" / "runs/local/demo/abcd1234/projector-warmup/attempt-1").as_uri(),
        stage_key="sha256:key",
        code_digest="sha256:code",
    )
    assert run_stage(main, env.to_environ() | {"MIMO_FAILURE_DIR": str(tmp_path / "failures")}) == 2
    failure = read_failure(tmp_path / "failures", 0)
    assert failure is not None
    assert failure.reason == "CorruptDataError"
    assert "sample s5, medium 0" in failure.message
