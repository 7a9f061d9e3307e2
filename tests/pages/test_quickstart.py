"""Every ```bash block of docs/quickstart.md is executed, as written, in its order, on the run of `make demo-ci`.

Two things differ from a reader's clone. `make demo-ci`, `make demo` and `make demo-check` run nothing and only find a
run, because `make test-pages` has just made it and CI runs all three itself. And `runs/demo` is a copy of
`runs/demo-ci`: the commands are the same for both. `mimo` is the code of this repository, wherever the installed one
points. MIMO_TOUR_RUN names another run folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.pages.command_blocks import ROOT, Block, Terminal, command_blocks

pytestmark = [pytest.mark.pages, pytest.mark.timeout(120)]

_PAGE = ROOT / "docs/quickstart.md"
_BLOCKS = command_blocks(_PAGE)
_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    source = Path(os.environ.get("MIMO_TOUR_RUN", ROOT / "runs/demo-ci"))
    assert (source / "pipeline.json").is_file(), f"no run in {source}; make one with: make demo-ci"
    terminal = Terminal(folder=tmp_path_factory.mktemp("clone"))
    for name in ("demo-ci", "demo"):
        terminal.add_run(name, source)
    return terminal


@pytest.mark.parametrize("block", _BLOCKS, ids=str)
def test_the_commands_of_the_page_work(block: Block, terminal: Terminal) -> None:
    done = terminal.type(block, timeout_s=_TIMEOUT_S)
    assert done.returncode == 0, f"{_PAGE.name}:{block.line}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


def test_the_page_has_the_commands_that_a_newcomer_needs() -> None:
    typed = {word for block in _BLOCKS for word in re.findall(r"\b(?:mimo|make) ([a-z-]+)", block.commands)}
    wanted = {"demo", "demo-ci", "status", "logs", "report", "compare", "chat", "artifacts", "lineage", "check", "plan"}
    assert wanted <= typed


def test_the_commands_left_what_the_page_says(terminal: Terminal) -> None:
    assert (terminal.folder / "runs/demo-ci/report.html").stat().st_size > 100_000
    assert (terminal.folder / "my-model/model/model.safetensors").is_file()
    assert list((terminal.folder / "evaluation/pictures").glob("*.png"))


def test_a_command_that_fails_fails_its_block(terminal: Terminal) -> None:
    unknown = terminal.type(Block(line=1, commands="mimo status no-such-run | cat\ntrue\n"), timeout_s=_TIMEOUT_S)
    assert unknown.returncode == 2
    other = terminal.type(Block(line=1, commands="make clean\n"), timeout_s=_TIMEOUT_S)
    assert "pages may only make" in other.stderr
