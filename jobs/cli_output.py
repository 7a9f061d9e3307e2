"""How every command answers: tables for people, or the same facts as JSON for programs (`--output json`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

# Columns of tables in a log: nobody's terminal limits them.
_LOG_WIDTH = 180


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


Output = Annotated[Format, typer.Option("--output", "-o", help="table for people, json for programs.")]


def wide_console() -> Console:
    """Wide where nobody's terminal limits it, so that tables in logs are not folded. Brackets in messages are text."""
    console = Console(markup=False)
    return console if console.is_terminal else Console(width=_LOG_WIDTH, markup=False)


def print_json(data: Mapping[str, Any] | Sequence[Any]) -> None:
    """One object or list, on several lines; NaN as null."""
    typer.echo(json.dumps(_plain(data), indent=1, ensure_ascii=False, default=str))


def print_json_line(data: Mapping[str, Any]) -> None:
    """One of a stream of objects."""
    typer.echo(json.dumps(_plain(data), ensure_ascii=False, default=str))


def say(text: str, output: Format, **facts: Any) -> None:
    """A sentence, or the facts in it."""
    if output == Format.JSON:
        print_json(facts)
    else:
        typer.echo(text)


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
