"""The page maps are read when the peak may have risen, and now and then; not at every look."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.mimo_pipeline.local import memory
from operators.mimo_pipeline.local.memory import MemoryPeak, read_peak

MIB = 2**20


class Machine:
    """Processes with resident and proportional sizes, a clock, and how often the maps were read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rss = {1: 100 * MIB, 2: 100 * MIB}
        self.pss = {1: 60 * MIB, 2: 60 * MIB}
        self.now_s = 0.0
        self.num_reads = 0
        monkeypatch.setattr(memory, "all_pids", lambda _: set(self.rss))
        monkeypatch.setattr(memory, "_resident_bytes", lambda pid: self.rss[pid])
        monkeypatch.setattr(memory, "process_pss_bytes", self._read)
        monkeypatch.setattr(memory.time, "monotonic", lambda: self.now_s)

    def _read(self, pid: int) -> int:
        self.num_reads += 1
        return self.pss[pid]

    def look(self, peak: MemoryPeak, *, after_s: float = 2.0) -> int:
        """Processes whose maps were read for it."""
        self.now_s += after_s
        before = self.num_reads
        peak.sample([1])
        return self.num_reads - before


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_the_first_look_reads_the_maps_and_keeps_the_peak(machine: Machine, tmp_path: Path) -> None:
    peak = MemoryPeak(tmp_path / "memory.json")
    assert machine.look(peak) == 2
    assert peak.peak_pss_bytes == read_peak(tmp_path / "memory.json") == 120 * MIB


def test_without_growth_they_are_read_every_half_minute(machine: Machine, tmp_path: Path) -> None:
    peak = MemoryPeak(tmp_path / "memory.json")
    assert [machine.look(peak) for _ in range(16)] == [2, *[0] * 14, 2]


@pytest.mark.parametrize("pid", [2, 3], ids=["growth", "a new process"])
def test_what_may_be_a_peak_is_seen_at_the_next_look(machine: Machine, tmp_path: Path, pid: int) -> None:
    peak = MemoryPeak(tmp_path / "memory.json")
    machine.look(peak)
    machine.rss[pid] = machine.rss.get(pid, 0) + 50 * MIB
    machine.pss[pid] = machine.pss.get(pid, 0) + 50 * MIB
    assert machine.look(peak) == len(machine.rss)
    assert peak.peak_pss_bytes == 170 * MIB


def test_growth_below_an_earlier_peak_is_not_looked_into(machine: Machine, tmp_path: Path) -> None:
    peak = MemoryPeak(tmp_path / "memory.json")
    machine.rss[3], machine.pss[3] = 200 * MIB, 200 * MIB
    machine.look(peak)
    del machine.rss[3]
    machine.look(peak, after_s=30.0)
    machine.rss[1] += 150 * MIB
    assert machine.look(peak) == 0
    machine.rss[2] += 60 * MIB
    assert machine.look(peak) == 2
    assert peak.peak_pss_bytes == 320 * MIB


def test_looks_that_follow_too_soon_do_nothing(machine: Machine, tmp_path: Path) -> None:
    peak = MemoryPeak(tmp_path / "memory.json")
    machine.look(peak)
    machine.rss[1] += 500 * MIB
    assert machine.look(peak, after_s=1.0) == 0
    assert machine.look(peak, after_s=1.0) == 2
