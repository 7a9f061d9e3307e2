"""What does each field of a type of the API say of itself? Its docstring, read from the source by whoever writes
schemas and references, so that the controller and the command line do not pay for it whenever they start.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from mimo_vl.schema.nested import models_of


def described_schema(root: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema with camelCase names, and with the docstrings of all fields as their descriptions."""
    schema = root.model_json_schema(by_alias=True)
    for model in models_of(root):
        properties = (schema if model is root else schema["$defs"][model.__name__])["properties"]
        for name, text in field_docs(model).items():
            properties[model.model_fields[name].alias or name].setdefault("description", text)
    return schema


@cache
def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Field -> docstring; fields without one are left out."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found |= _own(cls)
    return found


def _own(model: type[BaseModel]) -> dict[str, str]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, after in pairwise(definition.body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[field.target.id] = inspect.cleandoc(after.value.value)
    return found
