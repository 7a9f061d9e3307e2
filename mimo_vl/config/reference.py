"""Which keys has the configuration? docs/configuration.md, made from the dataclasses: key, type, default, meaning."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mimo_vl.config.pipeline import PipelineConfig

_HEADER = """\
# Configuration

<!-- generated from mimo_vl/config by `make generate`; do not edit -->
A profile (`tiny`, `smol`, `mimo_vl_7b`) gives every key a value; `--override path.to.key=value`, or
`spec.overrides` of a `MimoPipeline`, changes one, and `@NAME` stands for a named set such as `@demo-ci`.
`mimo check --profile NAME` prints the values of a profile. A wrong key, type or combination is one error that names
the key, before anything starts.

Values that cannot change a result (addresses, logging, deadlines) are marked *not in the key*: changing them runs no
stage again. `<stage>` stands for the name of a stage. – = no default: every profile sets it. A section leads to the
table of its keys; sections of one kind share a table.
"""
_TABLE = "| key | type | default | |\n|---|---|---|---|"


def config_reference() -> str:
    sections = _sections()
    tables = [_section(cls, path, sections) for cls, path in sections.items()]
    return "\n".join([_HEADER, *tables]).rstrip("\n") + "\n"


def undocumented_keys() -> list[str]:
    """`Class.field` of each key whose meaning nobody wrote down. A field that is a section needs none."""
    return [
        f"{cls.__name__}.{name}"
        for cls in _sections()
        for name, field in _fields(cls).items()
        if not field.description and next(_classes_in(field.annotation), None) is None
    ]


def _sections() -> dict[type, str]:
    """Each class once, with the path of its keys where it was met first."""
    found: dict[type, str] = {PipelineConfig: ""}
    waiting: list[type] = [PipelineConfig]
    for cls in waiting:
        for name, field in _fields(cls).items():
            inner_path = f"{found[cls]}{name}.<stage>." if "dict[" in str(field.annotation) else f"{found[cls]}{name}."
            new = [inner for inner in _classes_in(field.annotation) if inner not in found]
            found |= dict.fromkeys(new, inner_path)
            waiting += new
    return found


def _fields(cls: type) -> dict[str, FieldInfo]:
    return dict(cls.__pydantic_fields__)  # type: ignore[attr-defined]


def _classes_in(annotation: Any) -> Iterator[type]:
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes_in(argument)


def _section(cls: type, path: str, sections: Mapping[type, str]) -> str:
    title = f"## `{path.rstrip('.')}`" if path else "## Top level"
    about = f"{_one_line(cls.__doc__)}\n\n" if cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}(") else ""
    rows = [_row(path + name, field, sections) for name, field in _fields(cls).items()]
    return f"{title}\n\n{about}" + "\n".join([_TABLE, *rows]) + "\n"


def _row(key: str, field: FieldInfo, sections: Mapping[type, str]) -> str:
    inner = next(_classes_in(field.annotation), None)
    about = _one_line(field.description)
    extra = field.json_schema_extra
    if isinstance(extra, dict) and extra.get("affects_result") is False:
        about = f"{about} *Not in the key.*".strip()
    kind = f"[section](#{_anchor(sections[inner])})" if inner else _type(field.annotation)
    return f"| `{key}` | {kind} | {'' if inner else _default(field)} | {about} |"


def _anchor(path: str) -> str:
    """As pages make it from a heading."""
    return re.sub(r"[^\w\s-]", "", path)


def _type(annotation: Any) -> str:
    """As a person writes it: names without modules, literals as their values."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    text = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    text = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)
    text = re.sub(r"Annotated\[(\w+), [^\]]*\]", r"\1", text)
    text = re.sub(r"Literal\[([^\]]*)\]", lambda m: ", ".join(f"`{v.strip()}`" for v in m[1].split(",")), text)
    return text.replace("'", "").replace("|", "or")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "–"
    value = value.value if isinstance(value, Enum) else value
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", r"\|")
