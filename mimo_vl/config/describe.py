"""How is what pydantic found wrong with a configuration told to the person who wrote it?"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
# Where pydantic puts an error of a mapping's key instead of its value.
_KEY = "[key]"


def describe_errors(root: type, errors: Sequence[Any]) -> list[str]:
    """A line each. Misspelt keys come first, since what they were meant for is missing too; of an entry that its key
    already forbids, the key alone is told.

    Args:
        root: the dataclass that was validated.
        errors: of a pydantic ValidationError.
    """
    forbidden = [error["loc"][:-1] for error in errors if error["loc"][-1:] == (_KEY,)]
    told = [e for e in errors if e["loc"][-1:] == (_KEY,) or not any(e["loc"][: len(f)] == f for f in forbidden)]
    return [_describe(root, error) for error in sorted(told, key=lambda e: e["type"] not in _UNKNOWN)]


def _describe(root: type, error: Any) -> str:
    loc, kind, got = error["loc"], error["type"], error.get("input")
    path = ".".join(str(part) for part in loc if part != _KEY)
    if kind in _UNKNOWN:
        near = difflib.get_close_matches(str(loc[-1]), _field_names(root, loc[:-1]), n=1)
        remedy = f"did you mean {near[0]}?" if near else "remove it or correct its spelling"
        return f"{path}: unknown key (value {got!r}); {remedy}"
    if kind == "missing":
        return f"{path}: missing; give it a value"
    shown = "" if isinstance(got, dict) else f"got {got!r}; "
    return f"{path or 'config'}: {shown}{error['msg'].removeprefix('Value error, ')}"


def _field_names(root: type, loc: Sequence[Any]) -> list[str]:
    """Of the dataclass at this place; none where there is another type."""
    kind: Any = root
    for part in loc:
        kind = _member(kind, str(part))
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _member(kind: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        found = typing.get_type_hints(kind).get(name)
    else:
        arguments = typing.get_args(kind)
        found = arguments[1] if _is_mapping(kind) else None
    if isinstance(found, types.UnionType):
        # What may be null is one type beside None.
        found = next(option for option in typing.get_args(found) if option is not type(None))
    return found


def _is_mapping(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)
