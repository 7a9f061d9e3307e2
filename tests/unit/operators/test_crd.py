"""The CustomResourceDefinition: bounds everywhere, rules where they belong, columns that exist."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pydantic import ValidationError

from operators.mimo_pipeline.api import CONTROL_FIELDS, MimoPipelineSpec, StageProgress, StageState
from operators.mimo_pipeline.crd import crd, crd_yaml, node_at, root_schema
from operators.mimo_pipeline.crd_rules import LIST_KEYS, SETS, rules
from tests.fakes.pipelines import NOW

# Strings of the object's own head are bounded by the API server.
_HEAD = {"apiVersion", "kind"}


def _nodes(schema: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from _nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from _nodes(schema["additionalProperties"], f"{path}{{}}")


def _is_bounded(node: dict) -> bool:
    match node["type"]:
        case "string":
            return "maxLength" in node or "enum" in node or node.get("format") == "date-time"
        case "array":
            return "maxItems" in node
        case "object":
            return "additionalProperties" not in node or "maxProperties" in node
        case "integer" | "number":
            return "minimum" in node and "maximum" in node
        case _:
            return True


def test_every_string_list_map_and_number_has_a_bound() -> None:
    nodes = [(path, node) for path, node in _nodes(root_schema()) if path not in _HEAD]
    assert len(nodes) > 150
    assert sum(node["type"] in ("integer", "number") for _, node in nodes) > 20
    # A metric of a stage is what it is: any finite number.
    assert [path for path, node in nodes if not _is_bounded(node)] == ["status.stages[].progress.metrics{}"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("ttlSecondsAfterFinished", 10**12), ("maxParallelStages", 65)],
)
def test_a_number_that_nobody_means_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValidationError, match=field):
        MimoPipelineSpec.model_validate({"profile": "tiny", "stages": [{"name": "base"}], field: value})


def test_the_longest_times_that_are_allowed_can_be_added_to_a_date() -> None:
    longest = {"backoffSeconds": 86_400, "maxBackoffSeconds": 86_400}
    spec = MimoPipelineSpec.model_validate(
        {
            "profile": "tiny",
            "stages": [{"name": "base", "retry": longest}],
            "ttlSecondsAfterFinished": 315_360_000,
        }
    )
    assert spec.ttl_seconds_after_finished is not None
    assert (NOW + timedelta(seconds=spec.ttl_seconds_after_finished)).year == NOW.year + 9


def test_a_step_beyond_all_bounds_is_cut_and_not_refused() -> None:
    progress = StageProgress(step=10**30, total=-3)
    assert (progress.step, progress.total) == (10**15, 0)


def test_every_node_has_a_type_and_no_keyword_that_a_structural_schema_forbids() -> None:
    forbidden = {"$ref", "anyOf", "oneOf", "const", "title", "patternProperties", "propertyNames"}
    for path, node in _nodes(root_schema()):
        assert "type" in node, path
        assert not forbidden & set(node), path


def test_keys_of_list_maps_are_required_fields() -> None:
    root = root_schema()
    for path, keys in LIST_KEYS.items():
        assert set(keys) <= set(node_at(root, path)["items"]["required"])
        assert node_at(root, path)["x-kubernetes-list-type"] == "map"
    for path in SETS:
        assert node_at(root, path)["x-kubernetes-list-type"] == "set"


def test_only_documents_that_are_frozen_as_a_whole_are_free() -> None:
    free = [path for path, node in _nodes(root_schema()) if "x-kubernetes-preserve-unknown-fields" in node]
    assert free == ["status.runtime.config", "status.runtime.workloads"]


def test_printer_columns_read_fields_that_exist() -> None:
    version = crd()["spec"]["versions"][0]
    columns = version["additionalPrinterColumns"]
    assert [c["name"] for c in columns if not c.get("priority")] == ["Phase", "Stage", "Progress", "Attempt", "Age"]
    assert [c["name"] for c in columns if c.get("priority") == 1] == ["Message", "MLflow"]
    for column in columns:
        if column["jsonPath"].startswith(".status."):
            node_at(root_schema(), column["jsonPath"].lstrip("."))


def test_names_and_the_status_subresource() -> None:
    spec = crd()["spec"]
    assert (spec["names"]["shortNames"], spec["names"]["categories"]) == (["mp"], ["ml"])
    assert spec["versions"][0]["subresources"] == {"status": {}}
    assert crd()["metadata"]["name"] == "mimopipelines.mimo.dev"


def test_every_rule_reports_at_a_field_that_exists_and_says_what_to_do() -> None:
    root = root_schema()
    assert len(rules()) > 15
    for rule in rules():
        node_at(root, (rule.path + rule.field).lstrip("."))
        assert ";" in rule.message or ":" in rule.message or "Create" in rule.message, rule.message


def test_every_field_but_the_controls_is_fixed_after_the_start() -> None:
    fixed = {r.field.removeprefix(".spec.") for r in rules() if "oldSelf" in r.rule}
    fields = {f.alias or name: name for name, f in MimoPipelineSpec.model_fields.items()}
    assert {fields[f] for f in fixed} == set(fields.values()) - CONTROL_FIELDS


def test_states_of_a_stage_are_an_enum() -> None:
    state = node_at(root_schema(), "status.stages[].state")
    assert state["enum"] == [s.value for s in StageState]


def test_a_path_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        node_at(root_schema(), "spec.stages[].colour")


def test_the_text_is_small_enough_for_the_release_of_a_chart() -> None:
    assert len(crd_yaml().encode()) < 100_000
