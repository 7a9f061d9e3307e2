"""The CustomResourceDefinition of MimoPipeline, made from the types in api.py and the rules in crd_rules.py."""

from __future__ import annotations

from typing import Any

import yaml

from operators.mimo_pipeline.api import GROUP, KIND, PLURAL, VERSION, MimoPipelineSpec, MimoPipelineStatus
from operators.mimo_pipeline.crd_rules import LIST_KEYS, SETS, rules
from operators.mimo_pipeline.naming import MAX_PIPELINE_PLUS_STAGE
from operators.mimo_pipeline.structural import Schema, structural_schema

# name, JSON path below status, type, priority (1 = only with -o wide)
_COLUMNS = (
    ("Phase", ".status.phase", "string", 0),
    ("Stage", ".status.currentStage", "string", 0),
    ("Progress", ".status.progress", "string", 0),
    ("Attempt", ".status.attempt", "integer", 0),
    ("Age", ".metadata.creationTimestamp", "date", 0),
    ("Message", ".status.message", "string", 1),
    ("MLflow", ".status.mlflow", "string", 1),
)
# A stage name has at least one character.
MAX_NAME = MAX_PIPELINE_PLUS_STAGE - 1
_HEADER = "# Generated from operators/mimo_pipeline/api.py by `make generate`; do not edit.\n"


def crd() -> dict[str, Any]:
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
        "schema": {"openAPIV3Schema": root_schema()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["mp"],
                "categories": ["ml"],
            },
            "versions": [version],
        },
    }


def crd_yaml() -> str:
    return _HEADER + yaml.safe_dump(crd(), sort_keys=False, width=120, allow_unicode=True)


def root_schema() -> Schema:
    root: Schema = {
        "description": "A pipeline that trains a vision-language model, stage by stage.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": MAX_NAME}}},
            "spec": structural_schema(MimoPipelineSpec),
            "status": structural_schema(MimoPipelineStatus),
        },
    }
    for path, keys in LIST_KEYS.items():
        node_at(root, path).update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})
    for path in SETS:
        node_at(root, path)["x-kubernetes-list-type"] = "set"
    for rule in rules():
        node_at(root, rule.path).setdefault("x-kubernetes-validations", []).append(rule.to_values())
    return root


def node_at(root: Schema, path: str) -> Schema:
    """The node at `spec.stages[].retry`; raises KeyError for a path that the schema does not have."""
    node = root
    for part in filter(None, path.split(".")):
        node = node["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            node = node["items"]
    return node


def _column(name: str, path: str, kind: str, priority: int) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "jsonPath": path, "type": kind}
    return {**column, "priority": priority} if priority else column
