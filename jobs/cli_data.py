"""`mimo data`: check a folder of own data, and put it into the store of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli_output import Format, Output, say
from jobs.cli_source import given_store
from mimo_vl.errors import ConfigError

if TYPE_CHECKING:
    from mimo_vl.data.custom.folder import CustomItem

app = typer.Typer(help="Bring own data: a folder with data.jsonl and pictures.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(help="Folder with data.jsonl and the pictures that it names.")]


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="data")


@app.command("check")
def check_data(folder: Folder, output: Output = Format.TABLE) -> None:
    """Check every line and picture, and say what `curate` would drop; change nothing."""
    facts = _facts(_opened(folder))
    say(f"{_sentence(facts)}; nothing is wrong", output, **facts)


@app.command("add")
def add_data(
    folder: Folder,
    run_dir: Annotated[Path, typer.Option("--run-dir", help="Folder of the run that will use the data.")] = Path(
        "runs/demo"
    ),
    store: Annotated[
        str, typer.Option("--store", help="Instead: file:///folder or s3://bucket/prefix, the store of the run.")
    ] = "",
    output: Output = Format.TABLE,
) -> None:
    """Check a folder, put it into the store of a run, and print the override that uses it."""
    from mimo_vl.data.custom.publish import publish_folder
    from mimo_vl.storage.layout import data_prefix
    from operators.mimo_pipeline.local.state import RunFolder

    items = _opened(folder)
    target = given_store(store or RunFolder(run_dir).store_path.as_uri())
    digest = publish_folder(target, folder, items).content_digest
    uri = target.uri(data_prefix(digest))
    override, facts = f"data.custom.digest={digest}", _facts(items)
    text = (
        f"{_sentence(facts)}\nuri       {uri}\ndigest    {digest}\noverride  {override}\n"
        f"          data.custom.uri={uri} as well, in a run with another store"
    )
    say(text, output, **facts, uri=uri, digest=digest, override=override)


def _opened(folder: Path) -> list[CustomItem]:
    from mimo_vl.data.custom.folder import open_folder

    if not folder.is_dir():
        raise ConfigError(f"FOLDER: {folder} is not a folder; give one with data.jsonl and the pictures that it names")
    return open_folder(folder)


def _facts(items: Sequence[CustomItem]) -> dict[str, object]:
    from mimo_vl.data.pipelines.custom import dropped_lines

    return {
        "lines": len(items),
        "with_reference": sum(item.line.reference is not None for item in items),
        "pictures": len({medium.sha256 for item in items for medium in item.media}),
        "dropped": dropped_lines(items),
    }


def _sentence(facts: dict[str, object]) -> str:
    dropped = facts["dropped"]
    assert isinstance(dropped, dict)
    reasons = ", ".join(f"{reason} {count}" for reason, count in dropped.items()) or "none"
    return (
        f"{facts['lines']} lines, {facts['with_reference']} of them with a reference, {facts['pictures']} pictures; "
        f"lines that curate will drop: {reasons}"
    )
