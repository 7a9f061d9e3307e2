"""Is the bytecode of another environment taken over where, and only where, it is that of the same source?"""

from __future__ import annotations

import compileall
import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from devcluster.copy_bytecode import copy_bytecode, main


@pytest.fixture
def environments(tmp_path: Path) -> tuple[Path, Path]:
    """Two with a package each; the first is compiled."""
    compiled, fresh = tmp_path / "compiled", tmp_path / "fresh"
    for name in ("same", "touched", "edited", "only_here"):
        (compiled / "package").mkdir(parents=True, exist_ok=True)
        (compiled / "package" / f"{name}.py").write_text(f"NAME = {name!r}\n")
    shutil.copytree(compiled, fresh)
    (fresh / "package/only_here.py").unlink()
    (fresh / "package/edited.py").write_text("NAME = 'another length'\n")
    shutil.copystat(compiled / "package/edited.py", fresh / "package/edited.py")
    os.utime(fresh / "package/touched.py", (0, 1_000_000))
    assert compileall.compile_dir(compiled, quiet=2)
    return compiled, fresh


def _bytecode(folder: Path, name: str) -> Path:
    return Path(importlib.util.cache_from_source(str(folder / "package" / f"{name}.py")))


def test_only_bytecode_of_an_equal_source_is_copied(environments: tuple[Path, Path]) -> None:
    compiled, fresh = environments
    assert copy_bytecode(compiled, fresh) == 1
    assert _bytecode(fresh, "same").read_bytes() == _bytecode(compiled, "same").read_bytes()
    assert not any(_bytecode(fresh, name).exists() for name in ("touched", "edited", "only_here"))


def test_python_takes_what_was_copied(environments: tuple[Path, Path]) -> None:
    compiled, fresh = environments
    copy_bytecode(compiled, fresh)
    before = _bytecode(fresh, "same").stat()
    assert compileall.compile_dir(fresh, quiet=2)
    assert _bytecode(fresh, "same").stat().st_mtime_ns == before.st_mtime_ns
    assert _bytecode(fresh, "touched").exists()


def test_bytecode_that_is_there_stays(environments: tuple[Path, Path]) -> None:
    compiled, fresh = environments
    _bytecode(fresh, "same").parent.mkdir()
    _bytecode(fresh, "same").write_bytes(b"own")
    assert copy_bytecode(compiled, fresh) == 0
    assert _bytecode(fresh, "same").read_bytes() == b"own"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nowhere: no such folder; wanted the site-packages of an environment"):
        main([str(tmp_path), str(tmp_path / "nowhere")])
