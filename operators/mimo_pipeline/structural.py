"""A pydantic type as a structural OpenAPI v3 schema, as a CustomResourceDefinition wants it.

Differences from pydantic's JSON schema: references are inlined, `anyOf null` is `nullable`, constants are enums, maps
are `additionalProperties`, free JSON keeps unknown fields, titles go. A keyword that is not known here is an error, so
that nothing is lost silently. Patterns of map keys have no place in such a schema: the controller checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from operators.mimo_pipeline.field_docs import described_schema

Schema = dict[str, Any]

_COPIED = (
    *("description", "type", "enum", "format", "default"),
    *("pattern", "minLength", "maxLength", "minimum", "maximum"),
    *("minItems", "maxItems", "maxProperties"),
)
_HANDLED = {*_COPIED, "properties", "required", "items", "additionalProperties", "patternProperties"}
# additionalProperties: false is what a structural schema means anyway; titles repeat the field names.
_DROPPED = {"title", "propertyNames"}
# Free JSON. It has no type, because it may be any.
_ANY: Schema = {"x-kubernetes-preserve-unknown-fields": True}


def structural_schema(model: type[BaseModel]) -> Schema:
    schema = described_schema(model)
    return _convert(schema, schema.get("$defs", {}), model.__name__)


def _convert(node: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> Schema:
    node = _resolved({k: v for k, v in node.items() if k != "$defs"}, definitions, where)
    unknown = sorted(set(node) - _HANDLED - _DROPPED - {"nullable"})
    if unknown:
        raise ValueError(f"{where}: keywords {unknown} have no structural form; change the type or add the keyword")
    if not set(node) - _DROPPED - {"description"}:
        return dict(_ANY)
    result: Schema = {k: node[k] for k in _COPIED if k in node}
    if node.get("nullable"):
        result["nullable"] = True
        if result.get("default", ...) is None:
            del result["default"]
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    result.update(_children(node, definitions, where))
    return result


def _children(node: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> Schema:
    result: Schema = {}
    if "properties" in node:
        properties = node["properties"].items()
        result["properties"] = {k: _convert(v, definitions, f"{where}.{k}") for k, v in properties}
    if node.get("required"):
        result["required"] = list(node["required"])
    if "items" in node:
        result["items"] = _convert(node["items"], definitions, f"{where}[]")
    values = _map_values(node, where)
    if values is not None:
        converted = _convert(values, definitions, f"{where}{{}}")
        result.update(_ANY if converted == _ANY else {"additionalProperties": converted})
    return result


def _map_values(node: Mapping[str, Any], where: str) -> Mapping[str, Any] | None:
    """Schema of the values of a map; None if the node is no map."""
    patterns = node.get("patternProperties", {})
    if len(patterns) > 1:
        raise ValueError(f"{where}: {len(patterns)} patterns of keys; a structural schema has one kind of value")
    if patterns:
        return next(iter(patterns.values()))
    values = node.get("additionalProperties", False)
    if values is True:
        return {}
    return None if values is False else values


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> Schema:
    """The node without references, unions with null and constants; what stands beside a reference wins."""
    merged = dict(node)
    while True:
        if "$ref" in merged:
            target = definitions[merged.pop("$ref").rsplit("/", 1)[-1]]
            merged = {**target, **merged}
        elif "anyOf" in merged:
            options = merged.pop("anyOf")
            kept = [o for o in options if o.get("type") != "null"]
            if len(kept) != 1:
                raise ValueError(f"{where}: a union of {len(kept)} types; a structural schema has one type per field")
            merged = {**kept[0], **merged, **({"nullable": True} if len(kept) < len(options) else {})}
        elif "const" in merged:
            merged["enum"] = [merged.pop("const")]
        elif "oneOf" in merged:
            options = merged.pop("oneOf")
            if not all("const" in o for o in options):
                raise ValueError(f"{where}: oneOf of other things than constants has no structural form")
            merged = {"type": "string", "enum": [o["const"] for o in options], **merged}
        else:
            return merged
