"""Which fields has a MimoPipeline? docs/mimopipeline.md, made from the types: field, type, default, description."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mimo_vl.schema.nested import models_in, models_of
from operators.mimo_pipeline.api import CONTROL_FIELDS, GROUP, KIND, VERSION, MimoPipelineSpec, MimoPipelineStatus
from operators.mimo_pipeline.crd_rules import rules
from operators.mimo_pipeline.field_docs import field_docs

_HEADER = f"""\
# {KIND} {GROUP}/{VERSION}

<!-- generated from operators/mimo_pipeline/api.py by `make generate`; do not edit -->
`kubectl explain {KIND.lower()}.spec` shows the same. Unknown fields are refused. Examples:
[tiny](../examples/tiny.yaml), [demo-ci](../examples/demo-ci.yaml); how they are used: [kubernetes.md](kubernetes.md).
"""
_FIXED = "cannot change after the start"
_TABLE = "| field | type | default | |\n|---|---|---|---|"


def spec_reference() -> str:
    parts = [_HEADER, _controls(), "## Spec\n", *_sections(MimoPipelineSpec)]
    parts += ["## What the API server checks beyond types\n", _rules(), "## Status\n", *_sections(MimoPipelineStatus)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _controls() -> str:
    names = ", ".join(sorted(f"`{_alias(MimoPipelineSpec, name)}`" for name in CONTROL_FIELDS))
    return (
        f"Once `status.startedAt` is set only the controls may change:\n{names}.\n"
        "For anything else create a new pipeline: finished stages whose keys are the same are reused.\n\n"
        "Numbers in brackets bound the length of a text, list or map. – = not set, or its own defaults.\n"
    )


def _sections(root: type[BaseModel]) -> Iterator[str]:
    """One table per type, in the order in which the fields name them."""
    definitions = root.model_json_schema(by_alias=True).get("$defs", {})
    for model in models_of(root):
        about = f"{_one_line(model.__doc__)}\n\n" if model.__doc__ else ""
        properties = model.model_json_schema(by_alias=True)["properties"]
        rows = [_row(model, n, properties, definitions) for n in model.model_fields]
        yield f"### {model.__name__}\n\n{about}" + "\n".join([_TABLE, *rows]) + "\n"


def _row(model: type[BaseModel], name: str, properties: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    alias, field = _alias(model, name), model.model_fields[name]
    text = _type(properties[alias], definitions).replace("|", r"\|")
    about = field_docs(model).get(name) or _about_type(field.annotation)
    return f"| `{alias}` | {text} | {_default(field)} | {_one_line(about)} |"


def _about_type(annotation: Any) -> str:
    """What the field's own type says of itself, up to the first full stop."""
    model = next(models_in(annotation), None)
    return _one_line(model.__doc__).split(". ")[0].rstrip(".") + "." if model is not None and model.__doc__ else ""


def _type(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        target = definitions.get(name, {})
        return f"[{name}](#{name.lower()})" if "properties" in target else _type(target, definitions)
    if "anyOf" in node:
        return _type(next(o for o in node["anyOf"] if o.get("type") != "null"), definitions)
    if "enum" in node:
        return " | ".join(f"`{json.dumps(value)}`" if value == "" else f"`{value}`" for value in node["enum"])
    kind = node.get("type", "any")
    if kind == "array":
        return f"list{_bound(node, 'maxItems')} of {_type(node['items'], definitions)}"
    if kind == "object":
        values: Any = node.get("additionalProperties") or next(iter(node.get("patternProperties", {}).values()), {})
        inner = _type(values, definitions) if isinstance(values, Mapping) else "any"
        return f"map{_bound(node, 'maxProperties')} to {inner}"
    return _plain(kind, node)


def _plain(kind: str, node: Mapping[str, Any]) -> str:
    if kind == "string":
        return str(node.get("format", kind)) + _bound(node, "maxLength")
    low, high = node.get("minimum"), node.get("maximum")
    if low is None:
        return kind
    return f"{kind}, {low:.15g} to {high:.15g}" if high is not None else f"{kind}, at least {low:.15g}"


def _bound(node: Mapping[str, Any], keyword: str) -> str:
    return f" (≤ {node[keyword]})" if keyword in node else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return "–"
    if isinstance(value, Enum):
        value = value.value
    return f"`{json.dumps(value)}`"


def _rules() -> str:
    """Without those that fix a field after the start: the head of the page says it once."""
    kept = [rule for rule in rules() if _FIXED not in rule.message]
    rows = [f"| `{(rule.path + rule.field).lstrip('.')}` | {_one_line(rule.message)} |" for rule in kept]
    return "\n".join(["| field | refusal |", "|---|---|", *rows]) + "\n"


def _alias(model: type[BaseModel], name: str) -> str:
    return model.model_fields[name].alias or name


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", r"\|")
