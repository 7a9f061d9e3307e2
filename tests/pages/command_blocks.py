"""The commands that a page of docs/ asks its reader to type: its ```bash blocks, and a folder to type them in.

Of another language a page may only have ```dockerfile blocks; a test does what those say to what the commands left.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```$", re.M | re.S)
_TYPED, _BUILT = "bash", "dockerfile"
# These runs exist already: a page that makes one finds it.
_MAKE = """\
#!/bin/sh
case "$1" in
  demo-ci) test -e runs/demo-ci/pipeline.json ;;
  demo | demo-check) test -e runs/demo/pipeline.json ;;
  *) echo "make $*: pages may only make demo-ci, demo and demo-check here" >&2; exit 2 ;;
esac
"""


@dataclass(frozen=True, kw_only=True)
class Block:
    """`line`: where its first command stands on the page, from 1."""

    line: int
    commands: str

    def __str__(self) -> str:
        return f"line-{self.line}"


def command_blocks(page: Path) -> list[Block]:
    """In the order of the page. Raises ValueError for a block that would be passed over unseen."""
    return _blocks(page)[_TYPED]


def dockerfiles(page: Path) -> list[Block]:
    """As `command_blocks`."""
    return _blocks(page)[_BUILT]


def _blocks(page: Path) -> dict[str, list[Block]]:
    """By language."""
    text = page.read_text(encoding="utf-8")
    found: dict[str, list[Block]] = {_TYPED: [], _BUILT: []}
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        if match[1] not in found:
            raise ValueError(
                f"{page.name}:{line - 1}: a block of language {match[1]!r}, wanted {_TYPED!r}, which is executed, or "
                f"{_BUILT!r}, which a test follows"
            )
        found[match[1]].append(Block(line=line, commands=match[2]))
    return found


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """A folder that looks like a clone after its runs: `mimo` is the code of this repository, `make` finds the runs."""

    folder: Path

    def __post_init__(self) -> None:
        programs = self.folder / ".venv/bin"
        programs.mkdir(parents=True)
        # The installed `mimo` may be that of another clone.
        _write_program(programs / "mimo", f'#!/bin/sh\nexec "{sys.executable}" -m jobs.cli "$@"\n')
        _write_program(programs / "make", _MAKE)

    def add_run(self, name: str, source: Path) -> None:
        """Show a run under `runs/<name>`. What is big is a link; the rest is a copy, which commands may write to."""
        target = self.folder / "runs" / name
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("store"))
        (target / "store").symlink_to((source / "store").resolve())

    def type(self, block: Block, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Stops at the first command that fails. Each block is a shell of its own, in the folder."""
        environment = {**os.environ, "PATH": f"{self.folder}/.venv/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.commands],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )


def _write_program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
