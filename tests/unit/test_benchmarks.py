"""What `python -m benchmarks NAME` leaves in runs/bench.json: its own rows anew, those of the others as they were."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.__main__ import OUTPUT, main, merged
from benchmarks.common import BenchRow


def _row(name: str, ours: float) -> BenchRow:
    return BenchRow(name=name, ours=ours, baseline=2.0, unit="s", ratio=2.0 / ours, equal=True, note="")


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[BenchRow]]:
    """What `reader` and `packer` measure; both are measured in an empty folder."""
    monkeypatch.chdir(tmp_path)
    rows = {"reader": [_row("read", 1.0)], "packer": [_row("speed", 1.0), _row("fill", 1.0)]}
    for name, measured in rows.items():
        module = ModuleType(name)
        module.run = lambda measured=measured: measured  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"benchmarks.{name}", module)
    return rows


def _written() -> list[tuple[str, float]]:
    return [(row["name"], row["ours"]) for row in json.loads(OUTPUT.read_text())]


def test_rows_of_other_benchmarks_stay(modules: dict[str, list[BenchRow]]) -> None:
    assert main(["packer"]) == 0
    assert _written() == [("speed", 1.0), ("fill", 1.0)]
    assert main(["reader"]) == 0
    modules["packer"][:] = [_row("fill", 0.5), _row("level", 0.5)]
    assert main(["packer"]) == 0
    assert _written() == [("speed", 1.0), ("fill", 0.5), ("read", 1.0), ("level", 0.5)]
    assert set(json.loads(OUTPUT.read_text())[0]) == {"name", "ours", "baseline", "unit", "ratio", "equal", "note"}


def test_only_the_measured_rows_decide_about_the_exit_code(modules: dict[str, list[BenchRow]]) -> None:
    modules["reader"][:] = [BenchRow(name="read", ours=1, baseline=1, unit="s", ratio=1, equal=False, note="")]
    assert main(["reader"]) == 1
    assert main(["packer"]) == 0
    assert [name for name, _ in _written()] == ["read", "speed", "fill"]


@pytest.mark.parametrize("content", ["[{", '{"name": "read"}', '[{"ours": 1}]'])
def test_a_damaged_file_is_refused_before_anything_is_measured(
    content: str, modules: dict[str, list[BenchRow]], capsys: pytest.CaptureFixture[str]
) -> None:
    OUTPUT.parent.mkdir()
    OUTPUT.write_text(content)
    assert main(["reader"]) == 2
    told = capsys.readouterr()
    assert "remove it, or run all benchmarks" in told.err
    assert "running" not in told.out
    assert OUTPUT.read_text() == content


def test_merging_nothing_keeps_all_and_merging_into_nothing_takes_all() -> None:
    rows = [{"name": "a"}, {"name": "b"}]
    assert merged(rows, []) == rows == merged([], rows)
