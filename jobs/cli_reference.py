"""docs/cli.md: every command of `mimo` with its arguments and options, read from the commands themselves."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo

_HEAD = """# Command line

<!-- generated from the commands by `make generate`; do not edit -->
`mimo --help` lists the commands, `mimo COMMAND --help` explains one. `mimo --install-completion` teaches the shell
(bash, zsh, fish) to complete commands, options and names of runs.

## Which run
`RUN` is a run folder (`runs/demo`) or its name below `runs/` (`demo`); without it, `runs/demo` is meant. With
`--namespace`, `--context` or `--kubeconfig` it is the name of a `MimoPipeline`. Commands that take no `RUN` have
`--run-dir` and `--pipeline`. Where a namespace is given, a name with a slash is still a folder. A wrong name is
answered with the names that come near.

```
mimo status demo                      # this machine
mimo status demo-ci -n train          # a cluster
mimo compare runs/demo demo-ci -n train
```

A pipeline that was deleted leaves its run in the store: `mimo runs --store URI` lists such runs, and `report`,
`lineage` and `artifacts` take one of them with `--store URI`. Keys and address of an S3 server are those of `AWS_*`.

## Output
`--output table` (the default) is for people. `--output json` prints the same facts as JSON on standard output, for
programs; `status --watch` and `logs` print one object per line.

## Exit codes
| code | meaning | what to do |
|---|---|---|
| 0 | done | |
| 1 | failed: a stage, a service or a store | look at `mimo status`; another try may succeed |
| 2 | the request, the configuration or an input is wrong, or refused | do what the message says |
| 75 | stopped on request, after saving | run the same command again: it goes on |
| 130 | ended by Ctrl-C, with nothing to save | |

## The store of a cluster
`report`, `compare`, `lineage`, `artifacts` and, once the pods are gone, `logs` read the artifact store.

- Keys: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; without them the Secret that `spec.storage.secret` names, or
  that the settings of the operator in the namespace name.
- Address: `AWS_ENDPOINT_URL`; without it the store's own. A Service of the cluster (`*.svc`) is reached through a port
  that is forwarded as long as the command runs.

A user needs a Role for it; what it refuses is named in the message:

| resource | verbs | for |
|---|---|---|
| `mimopipelines` | get, list | every command; group `mimo.dev` |
| `mimopipelines` | patch | `retry`, `approve`, `suspend`, `resume`, `cancel` |
| `mimopipelines` | create | `submit` |
| `pods` | list | `logs` |
| `pods/log` | get | `logs` |
| `configmaps` | list | settings of the operator, which name the Secret |
| `secrets` | get | the keys; restrict it by name |

For a store inside the cluster, and for `mlflow` with a server inside it, in the namespace of their Service:

| resource | verbs | for |
|---|---|---|
| `services` | get | its port and its pods |
| `pods` | list | a pod that runs behind it |
| `pods/portforward` | get, create | the way there |

`report` and `compare` need no MLflow: the store has every metric.

## Commands
"""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`names`: as they are typed; of an argument its name in capitals."""

    names: tuple[str, ...]
    values: str
    default: str
    help: str
    is_argument: bool
    is_required: bool


@dataclass(frozen=True, kw_only=True)
class Command:
    """`path`: the words after `mimo`."""

    path: str
    help: str
    parameters: tuple[Parameter, ...]


def cli_reference() -> str:
    from jobs.cli import app

    commands = all_commands(app)
    contents = [f"[{c.path}](#mimo-{c.path.replace(' ', '-')})" for c in commands]
    sections = ["\n".join(_section(command)) + "\n" for command in commands]
    return "\n".join([_HEAD + " · ".join(contents) + "\n", *sections])


def all_commands(app: typer.Typer, prefix: str = "") -> list[Command]:
    """By path; those in groups too."""
    found = [
        _command(prefix + (info.name or _dashes(info.callback.__name__)), info.callback)
        for info in app.registered_commands
        if info.callback is not None and not info.hidden
    ]
    for group in app.registered_groups:
        if group.typer_instance is not None:
            found += all_commands(group.typer_instance, f"{prefix}{group.name} ")
    return sorted(found, key=lambda command: command.path)


def _command(path: str, callback: Callable[..., Any]) -> Command:
    signature = inspect.signature(callback, eval_str=True)
    parameters = tuple(_parameter(p) for p in signature.parameters.values())
    return Command(path=path, help=inspect.getdoc(callback) or "", parameters=parameters)


def _parameter(parameter: inspect.Parameter) -> Parameter:
    """Written as Annotated[type, typer.Option(...)] = default."""
    kind, *infos = get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else (None,)
    info = next((i for i in infos if isinstance(i, ArgumentInfo | OptionInfo)), None)
    if info is None:
        raise TypeError(f"parameter {parameter.name}: wanted Annotated[..., typer.Option(help=...)]")
    is_argument = isinstance(info, ArgumentInfo)
    # typer takes the first name given for a default, and puts it back when it builds the command.
    first = (info.default,) if isinstance(info.default, str) and info.default.startswith("-") else ()
    option_names = (*first, *(info.param_decls or ())) or (f"--{_dashes(parameter.name)}",)
    is_required = parameter.default is inspect.Parameter.empty
    return Parameter(
        names=(parameter.name.upper(),) if is_argument else option_names,
        values="" if is_argument else _values(kind),
        default="needed" if is_required else _default(parameter.default),
        help=info.help or "",
        is_argument=is_argument,
        is_required=is_required,
    )


def _values(kind: Any) -> str:
    """What comes after the option; "" for a switch."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(k for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is list:
        kind = get_args(kind)[0]
    if kind is bool:
        return ""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(str(choice.value) for choice in kind)
    return {int: "NUMBER", float: "NUMBER", Path: "PATH"}.get(kind, "TEXT")


def _default(value: Any) -> str:
    if value is None or value is False or value == "":
        return ""
    shown = value.value if isinstance(value, Enum) else value.as_posix() if isinstance(value, Path) else value
    return f"`{shown}`"


def _section(command: Command) -> Iterator[str]:
    arguments = [p for p in command.parameters if p.is_argument]
    usage = [f"{p.names[0]}" if p.is_required else f"[{p.names[0]}]" for p in arguments]
    yield f"### mimo {command.path}"
    yield command.help
    yield ""
    yield "```"
    yield " ".join(["mimo", command.path, *usage, "[OPTIONS]"])
    yield "```"
    if command.parameters:
        yield ""
        yield "| | default | |"
        yield "|---|---|---|"
        yield from (_row(parameter) for parameter in command.parameters)


def _row(parameter: Parameter) -> str:
    names = ", ".join(f"`{name}`" for name in parameter.names)
    values = f" {parameter.values}" if parameter.values else ""
    return f"| {names}{values} | {parameter.default} | {' '.join(parameter.help.replace('|', '/').split())} |"


def _dashes(name: str) -> str:
    return name.replace("_", "-")
