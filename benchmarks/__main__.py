"""Run every benchmark module, print ours / baseline / ratio / limit, write runs/bench.json.

    python -m benchmarks            all modules of this package that have `run() -> list[BenchRow]`
    python -m benchmarks decoder    only the named ones; rows of the others stay in the file as they are

Exit code 1 if results differ or a promised ratio is missed.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import json
import os
import pkgutil
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.common import BenchRow

OUTPUT = Path("runs/bench.json")
Row = Mapping[str, Any]
"""As the file keeps it: a BenchRow without its limit."""
_NOT_BENCHMARKS = {"common", "__main__"}
_FIELDS = ("name", "ours", "baseline", "unit", "ratio", "equal", "note")
_PRINTED_VERSIONS = ("torch", "transformers", "numpy", "trl", "webdataset")


def main(names: list[str]) -> int:
    found = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name not in _NOT_BENCHMARKS)
    unknown = sorted(set(names) - set(found))
    if unknown:
        print(f"unknown benchmarks {unknown}; there are {found}", file=sys.stderr)
        return 2
    try:
        kept = _earlier_rows() if names else []
    except ValueError as error:
        print(f"{OUTPUT}: {error}; remove it, or run all benchmarks", file=sys.stderr)
        return 2
    print(_environment())
    rows: list[BenchRow] = []
    for name in names or found:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"running {name} ...", flush=True)
        rows += module.run()
    Console(width=None if sys.stdout.isatty() else 160).print(_table(rows))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    values = [{field: value for field, value in dataclasses.asdict(row).items() if field in _FIELDS} for row in rows]
    OUTPUT.write_text(json.dumps(merged(kept, values), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {OUTPUT}")
    failed = [row.name for row in rows if not _holds(row)]
    for name in failed:
        print(f"FAILED {name}")
    return 1 if failed else 0


def _earlier_rows() -> list[Row]:
    """Raises ValueError for a file that is no list of rows."""
    if not OUTPUT.is_file():
        return []
    rows = json.loads(OUTPUT.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "name" in row for row in rows):
        raise ValueError("got something else than a list of rows with a name")
    return rows


def merged(earlier: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Earlier rows in their order, those measured anew in their place, then the rest of the new ones."""
    by_name = {row["name"]: row for row in new}
    names = {row["name"] for row in earlier}
    return [by_name.get(row["name"], row) for row in earlier] + [row for row in new if row["name"] not in names]


def _holds(row: BenchRow) -> bool:
    return row.equal and (row.limit is None or row.ratio >= row.limit)


def _table(rows: list[BenchRow]) -> Table:
    table = Table()
    for column in ("benchmark", "ours", "baseline", "unit", "ratio", "limit", "equal", "note"):
        table.add_column(column, justify="right" if column in {"ours", "baseline", "ratio", "limit"} else "left")
    for row in rows:
        limit = "" if row.limit is None else f">= {row.limit:g}"
        table.add_row(
            row.name,
            f"{row.ours:.4g}",
            f"{row.baseline:.4g}",
            row.unit,
            f"{row.ratio:.2f}",
            limit,
            str(row.equal),
            row.note,
        )
    return table


def _environment() -> str:
    versions = []
    for package in _PRINTED_VERSIONS:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} absent")
    return f"python {platform.python_version()}, {', '.join(versions)}; {os.cpu_count()} cores, {platform.machine()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
