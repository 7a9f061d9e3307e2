"""What a node tells of itself, with GPUs and without, and what a further node tells of the run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mimo_vl.config.storage import TrackingConfig
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking import NullTracker, RunStatus, build_tracker, gpu_metrics
from mimo_vl.tracking.journal import read_journal
from mimo_vl.tracking.system_metrics import SystemMetricsThread, sample_system

RUN = "runs/local/p/abcd1234"
ATTEMPT = f"{RUN}/projector-warmup/attempt-1"


@pytest.fixture(autouse=True)
def _forget_the_library() -> Iterator[None]:
    gpu_metrics._nvml.cache_clear()
    yield
    gpu_metrics._nvml.cache_clear()


class _FakeNvml(SimpleNamespace):
    """Two GPUs, the second twice as busy."""

    NVMLError = RuntimeError

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUtilizationRates(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=40 * (device + 1))

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(used=1024 * (device + 1))


def test_every_value_names_its_node_and_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _FakeNvml())
    values = sample_system(3)
    assert values["system/gpu_utilization_percentage/node-3/gpu-1"] == 80.0
    assert values["system/gpu_memory_used/node-3/gpu-0"] == 1024.0
    assert values["system/process_pss/node-3"] > 0.0
    assert all("/node-3" in name for name in values)


def test_a_stage_that_is_shorter_than_the_interval_has_one_sample() -> None:
    samples: list[tuple[int, list[str]]] = []
    thread = SystemMetricsThread(lambda values, step: samples.append((step, sorted(values))), interval_s=1000.0)
    thread.start()
    thread.stop()
    assert [step for step, _ in samples] == [0]
    assert "system/process_pss/node-0" in samples[0][1]


def test_without_a_driver_there_are_no_gpu_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    class _NoDriver(_FakeNvml):
        def nvmlInit(self) -> None:
            raise RuntimeError("Driver Not Loaded")

    monkeypatch.setitem(sys.modules, "pynvml", _NoDriver())
    assert gpu_metrics.sample_gpus("node-0") == {}


def test_a_gpu_that_fails_hides_no_other_and_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class _OneLost(_FakeNvml):
        """The first has fallen off the bus, the second does not tell its use (MIG)."""

        def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
            if index == 0:
                raise RuntimeError("GPU is lost")
            return index

        def nvmlDeviceGetUtilizationRates(self, device: int) -> SimpleNamespace:
            raise RuntimeError(f"Not Supported: {device}")

    monkeypatch.setitem(sys.modules, "pynvml", _OneLost())
    gpus = {name: value for name, value in sample_system(0).items() if "gpu-" in name}
    assert gpus == {"system/gpu_memory_used/node-0/gpu-1": 2048.0}


def test_a_driver_that_stops_answering_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class _Gone(_FakeNvml):
        def nvmlDeviceGetCount(self) -> int:
            raise RuntimeError("Unknown Error")

    monkeypatch.setitem(sys.modules, "pynvml", _Gone())
    assert gpu_metrics.sample_gpus("node-0") == {}


def test_a_further_node_keeps_a_journal_of_its_own_with_system_metrics_alone(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    tracker = build_tracker(
        TrackingConfig(system_metrics_interval_s=0.01),
        uri="",
        store=store,
        impatient=store,
        run=RUN,
        attempt=ATTEMPT,
        journal_dir=tmp_path / ATTEMPT / "journal",
        node_rank=1,
    )
    assert isinstance(tracker, NullTracker)
    tracker.start("projector-warmup-1", {"seed": "1"}, {})
    tracker.log_metrics({"loss": 1.0}, 1)
    own = f"{ATTEMPT}/journal/node-1"
    while not list(read_journal(store, own)):
        pass
    tracker.finish(RunStatus.FINISHED)
    entries = list(read_journal(store, own))
    assert {entry.kind for entry in entries} == {"metrics"}
    assert {name for entry in entries for name in entry.values if not name.endswith("/node-1")} == set()
    # The owner's journal is another one.
    assert list(read_journal(store, f"{ATTEMPT}/journal")) == []
