"""Take the bytecode of another environment for the same sources: compiling all packages anew takes minutes.

usage: python copy_bytecode.py FROM TO     two site-packages folders of one version of Python

A file of bytecode is copied where TO has its source as it was when FROM compiled it: same size, same time of change.
"""

from __future__ import annotations

import importlib.util
import shutil
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

_HEADER_BYTES = 16


def copy_bytecode(source: Path, target: Path) -> int:
    """Number of copied files. What is left out is compiled later, as without this."""
    num_copied = 0
    for module in target.rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(module)))
        found = source / compiled.relative_to(target)
        if not compiled.exists() and _is_of(found, module):
            compiled.parent.mkdir(exist_ok=True)
            shutil.copyfile(found, compiled)
            num_copied += 1
    return num_copied


def _is_of(bytecode: Path, module: Path) -> bool:
    """By the header that Python itself compares (PEP 552, timestamps)."""
    try:
        with bytecode.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return False
    status = module.stat()
    wanted = struct.pack("<4sIII", importlib.util.MAGIC_NUMBER, 0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size)
    return header == wanted


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 2:
        raise SystemExit("usage: python copy_bytecode.py FROM TO")
    source, target = (Path(argument) for argument in arguments)
    for folder in (source, target):
        if not folder.is_dir():
            raise SystemExit(f"{folder}: no such folder; wanted the site-packages of an environment")
    print(copy_bytecode(source, target))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
