"""`make setup` refuses a Python that cannot run the platform before it makes anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("python", "problem"),
    [("/nonexistent/python3", "no such program"), ("./old-python", "got Python 3.9")],
)
def test_a_python_that_cannot_be_used_is_named_with_the_remedy_and_nothing_is_made(
    tmp_path: Path, python: str, problem: str
) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    old = tmp_path / "old-python"
    # An interpreter that says it is 3.9, and runs what it is given as one that may.
    old.write_text('#!/bin/sh\nexec python3 -c "import sys; sys.version_info = (3, 9, 0); $2"\n')
    old.chmod(0o755)
    before = sorted(path.name for path in tmp_path.iterdir())
    done = subprocess.run(
        ["make", "setup", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert f"PYTHON={python}: {problem}" in done.stderr
    assert "make setup PYTHON=python3.12" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
