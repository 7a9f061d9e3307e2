"""loss_first and loss_last: nats per target of the same samples, whatever the rows, the ranks and the padding."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.packed_row import PackedRow, pack_row
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.training.heldout import HeldoutBatch, build_heldout_batch, heldout_quota, mean_loss
from mimo_vl.training.step_modules import SupervisedStep
from mimo_vl.training.world import World
from tests.fakes.tiny_vlm import build_model
from tests.fakes.training_engine import FakeEngine, micro_batch
from tests.unit.data.builders import record, write_dataset

pytestmark = pytest.mark.timeout(120)

_DEADLINE_S = 100.0


class ModuleEngine:
    """Only what a held-out loss needs of an engine; notes how the module was run."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.modes: set[tuple[bool, bool]] = set()

    def __call__(self, payload: object, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        self.modes.add((self.module.training, torch.is_grad_enabled()))
        result: tuple[torch.Tensor, torch.Tensor] = self.module(payload, scale)
        return result


def _share(rank: int, world_size: int) -> HeldoutBatch:
    """Three rows with losses (6, 2), (5) and (3) of (2, 1), (2) and (3) targets, dealt out in turn.

    A second rank has nothing in the second round: it runs a row again, here one that would be noticed.
    """
    rows = [
        micro_batch([6.0, 2.0], [2, 1], groups=["a", "b"]),
        micro_batch([5.0], [2], groups=["a"]),
        micro_batch([3.0], [3], groups=["b"]),
    ]
    mine = rows[rank::world_size]
    padding = [micro_batch([100.0], [7], groups=["a"])] if rank else []
    return HeldoutBatch([*mine, *padding], num_weighted=len(mine))


def test_the_mean_is_over_targets_not_over_rows_or_samples() -> None:
    engine = FakeEngine(1)
    # 16 nats of 8 targets.
    assert mean_loss(engine, _share(0, 1), World()) == pytest.approx(2.0)  # type: ignore[arg-type]
    assert engine.updates == 0
    assert engine.module.weight.grad is None


def test_a_row_without_weight_is_run_and_does_not_count() -> None:
    engine = ModuleEngine(FakeEngine(1).module)
    # Of the second of two ranks, alone: 5 nats of 2 targets, and 100 of 7 that do not count.
    assert mean_loss(engine, _share(1, 2), World()) == pytest.approx(2.5)  # type: ignore[arg-type]
    assert engine.modes == {(False, False)}
    assert engine.module.training


def _rank(rank: int, rendezvous: str, found: Queue[tuple[int, float]]) -> None:
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    loss = mean_loss(FakeEngine(1), _share(rank, 2), World(rank=rank, size=2))  # type: ignore[arg-type]
    found.put((rank, loss))
    dist.barrier()
    dist.destroy_process_group()


def test_two_ranks_agree_on_what_one_would_say(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    found: Queue[tuple[int, float]] = context.Queue()
    rendezvous = (tmp_path / "rendezvous").as_uri()
    ranks = [context.Process(target=_rank, args=(rank, rendezvous, found)) for rank in range(2)]
    for process in ranks:
        process.start()
    try:
        # (6 + 2 + 3) nats of one, 5 of the other, of 6 and 2 targets.
        assert dict(found.get(timeout=_DEADLINE_S) for _ in ranks) == pytest.approx({0: 2.0, 1: 2.0})
    finally:
        for process in ranks:
            process.join(_DEADLINE_S)
            process.kill()


def test_types_share_the_batch_by_weight_and_each_has_a_sample() -> None:
    sizes = {"caption": 100, "ocr": 100, "rare": 100, "small": 2, "unused": 100}
    mixture = {"caption": 0.6, "ocr": 0.3, "rare": 0.001, "small": 0.099, "unused": 0.0}
    # Of 40: 24, 12, 0.04 and 3.96, so 24, 12, 0 and 4; at least one, at most as many as there are.
    assert heldout_quota(mixture, sizes, 40) == {"caption": 24, "ocr": 12, "rare": 1, "small": 2}


@pytest.fixture(scope="module")
def encoder() -> SampleEncoder:
    tokenizer = train_bpe(["one two three four"] * 4, vocab_size=300)
    return SampleEncoder(tokenizer, ProcessingConfig(min_pixels=3136, max_pixels=50176))


@pytest.fixture
def datasets(tmp_path: Path) -> dict[str, IndexedDataset]:
    """Two types of text; record i of each costs 10 + i tokens."""
    for name in ("caption", "text"):
        texts = ["one", "one two", "one two three four", "four one"]
        write_dataset(tmp_path / name, [record(f"{name}-{i}", text=text) for i, text in enumerate(texts)])
    return {name: IndexedDataset(tmp_path / name) for name in ("caption", "text")}


@pytest.fixture
def build(datasets: dict[str, IndexedDataset], encoder: SampleEncoder) -> Callable[[World], HeldoutBatch]:
    def built(world: World) -> HeldoutBatch:
        return build_heldout_batch(
            datasets, encoder, mixture={"caption": 0.5, "text": 0.5}, num_samples=6, capacity=(24, 64), world=world
        )

    return built


def _weighted(batch: HeldoutBatch) -> list[str]:
    return [name for m in batch.micro_batches[: batch.num_weighted] for name in m.sample_ids_S]


CHOSEN = [f"{name}-{i}" for name in ("caption", "text") for i in range(3)]


def test_the_batch_is_the_first_samples_of_each_type(build: Callable[[World], HeldoutBatch]) -> None:
    batch = build(World())
    # Of costs 10, 11, 12 twice, a row of 24 holds two.
    assert len(batch.micro_batches) == batch.num_weighted == 3
    assert sorted(_weighted(batch)) == CHOSEN


def test_ranks_run_equally_many_rows_and_count_each_sample_once(build: Callable[[World], HeldoutBatch]) -> None:
    shares = [build(World(rank=rank, size=2)) for rank in range(2)]
    assert [len(share.micro_batches) for share in shares] == [2, 2]
    assert [share.num_weighted for share in shares] == [2, 1]
    assert sorted(name for share in shares for name in _weighted(share)) == CHOSEN


def test_packed_rows_have_the_loss_of_their_samples_one_by_one(
    build: Callable[[World], HeldoutBatch], datasets: dict[str, IndexedDataset], encoder: SampleEncoder
) -> None:
    engine = ModuleEngine(SupervisedStep(build_model(vocab_size=encoder.tokenizer.vocab_size), chunk=8))
    nats, num_targets = 0.0, 0
    for name in CHOSEN:
        item = datasets[name.partition("-")[0]][int(name[-1])]
        row: PackedRow = pack_row([encoder.encode(item.sample, item.media)])
        with torch.no_grad():
            nats += float(engine.module(row, 1.0)[0])
        num_targets += int(row.supervised_T.sum())
    assert num_targets > len(CHOSEN)
    assert mean_loss(engine, build(World()), World()) == pytest.approx(nats / num_targets, rel=1e-5)  # type: ignore[arg-type]
