"""Which pydantic types does a type consist of?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel


def models_of(root: type[BaseModel]) -> list[type[BaseModel]]:
    """The type and those of its fields, in the order in which the fields name them."""
    found = [root]
    for model in found:
        for field in model.model_fields.values():
            found += [inner for inner in models_in(field.annotation) if inner not in found]
    return found


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The types that an annotation names: of `tuple[X, ...] | None` it is X."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)
