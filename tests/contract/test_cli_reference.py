"""docs/cli.md names every command, argument and option of `mimo`, and every command can answer a program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from jobs.cli import EXIT_CODES, app
from jobs.cli_reference import all_commands
from jobs.generate import FILES, ROOT
from mimo_vl import errors
from operators.mimo_pipeline.generate import stale_files
from tests.pages.command_blocks import command_blocks

COMMANDS = all_commands(app)
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
# Of a shell, for a program that Ctrl-C ended.
CTRL_C = 130
# With commands that somebody wrote.
PAGES = sorted([ROOT / "README.md", *(p for p in (ROOT / "docs").rglob("*.md") if p.name != "cli.md")])
KUBECTL = (
    *("annotate", "apply", "create", "delete", "describe", "edit", "exec", "explain", "get", "kustomize", "label"),
    *("logs", "patch", "port-forward", "replace", "rollout", "wait"),
)


def _built(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """As typer itself builds the commands."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _built(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


BUILT = dict(_built(typer.main.get_command(app)))


def test_the_page_is_what_the_commands_say_now() -> None:
    assert list(stale_files(ROOT, {"docs/cli.md": FILES["docs/cli.md"]})) == [], "run `make generate` and commit"


def test_no_command_is_undocumented() -> None:
    assert len(BUILT) >= 20
    assert [c.path for c in COMMANDS] == sorted(BUILT)
    assert [path for path in BUILT if f"\n### mimo {path}\n" not in PAGE] == []


@pytest.mark.parametrize("path", sorted(BUILT))
def test_every_option_is_documented_by_every_name(path: str) -> None:
    section = PAGE[PAGE.index(f"\n### mimo {path}\n") :].split("\n### ")[1]
    for parameter in BUILT[path].params:
        names = [p for p in parameter.opts if p.startswith("-")] or [parameter.name.upper()]
        for name in names:
            if name != "--help":
                assert f"`{name}`" in section, name


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.path)
def test_every_command_and_parameter_explains_itself(command) -> None:
    assert command.help
    assert [p.names for p in command.parameters if not p.help] == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.path)
def test_every_command_answers_a_program_by_the_same_option(command) -> None:
    (output,) = [p for p in command.parameters if "--output" in p.names]
    assert "json" in output.values.split(" or ")
    assert "-o" in output.names
    assert [p.names for p in command.parameters if "--json" in p.names] == []


def test_every_exit_code_is_on_the_page_and_in_the_help() -> None:
    codes = {errors.EXIT_DONE, errors.EXIT_RETRY, errors.EXIT_PERMANENT, errors.EXIT_RESUME, CTRL_C}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.M)} == codes
    assert {int(code) for code in re.findall(r"\b(\d+) ", EXIT_CODES)} == codes
    assert typer.main.get_command(app).epilog == EXIT_CODES


def _commands_on(page: Path, program: str = "mimo") -> Iterator[tuple[str, list[str]]]:
    """(words after the program, options) of each command in a block of a page, without what it takes from another."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    for language, block in blocks:
        if language not in ("", "bash", "console"):
            continue
        for line in re.sub(r"\\\n|\$\(.*?\)", " ", block).splitlines():
            prompt = re.escape("$ ") if language == "console" else ""
            if typed := re.match(rf"{prompt}(?:\S*/)?{program} (\S.*)", line.split("#")[0].split("|")[0]):
                yield typed[1], re.findall(r"(?<=\s)--?[a-z][a-z-]*", typed[1])


def test_commands_on_pages_exist_with_their_options() -> None:
    num_seen = 0
    for page in PAGES:
        for typed, options in _commands_on(page):
            path = max((p for p in BUILT if f"{typed} ".startswith(f"{p} ")), key=len, default="")
            assert path, f"{page.name}: no command mimo {typed}"
            known = {name for parameter in BUILT[path].params for name in (*parameter.opts, *parameter.secondary_opts)}
            assert set(options) - known == set(), f"{page.name}: mimo {typed}"
            num_seen += 1
    assert num_seen > 20


def test_kubectl_on_pages_has_its_commands_and_its_files() -> None:
    num_seen = 0
    for page in PAGES:
        for typed, _ in _commands_on(page, "kubectl"):
            verb = re.sub(r"^(?:(?:-n|--namespace|--context|--kubeconfig)[ =]\S+ )+", "", typed).split()[0]
            assert verb in KUBECTL, f"{page.name}: kubectl {typed}"
            files = re.findall(r"(?<=\s-f )examples/\S+", typed)
            assert [f for f in files if not (ROOT / f).is_file()] == [], f"{page.name}: kubectl {typed}"
            num_seen += 1
    assert num_seen > 10


def test_commands_after_a_prompt_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ mimo status demo --watch\nmimo printed this\n```\n")
    assert list(_commands_on(page)) == [("status demo --watch", ["--watch"])]


@pytest.mark.parametrize("name", ["quickstart.md", "tutorial.md"])
def test_no_block_of_an_executed_page_is_passed_over(name: str, tmp_path: Path) -> None:
    assert len(command_blocks(ROOT / "docs" / name)) > 5
    page = tmp_path / name
    page.write_text((ROOT / "docs" / name).read_text(encoding="utf-8") + "\n```\nmimo status\n```\n")
    with pytest.raises(ValueError, match=r"a block of language '', wanted 'bash'"):
        command_blocks(page)
