"""How a configuration section is declared: `@config` and `unhashed()`."""

from __future__ import annotations

from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

T = TypeVar("T")

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def config(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only pydantic dataclass that rejects unknown keys."""
    return dataclass(cls, frozen=True, kw_only=True, config=_STRICT)  # type: ignore[return-value]


def unhashed(default: Any) -> Any:
    """A field that does not affect results (URIs, logging, tracking): it is left out of stage keys."""
    return Field(default=default, json_schema_extra={"affects_result": False})
