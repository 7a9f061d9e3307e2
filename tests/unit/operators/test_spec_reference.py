"""The reference page of the resource: every field once, with its type, bounds, default and description."""

from __future__ import annotations

import re

from operators.mimo_pipeline.api import MimoPipelineSpec, MimoPipelineStatus
from operators.mimo_pipeline.crd import crd
from operators.mimo_pipeline.spec_reference import spec_reference

ROWS = spec_reference().splitlines()


def _fields_of(schema: object) -> set[str]:
    """Names of the properties of a structural schema, at any depth; maps with free keys have none."""
    if not isinstance(schema, dict):
        return set()
    here = set(schema.get("properties", {}))
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return here.union(*(_fields_of(s) for s in inner))


def test_every_field_of_the_crd_is_a_row() -> None:
    root = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    wanted = _fields_of(root["spec"]) | _fields_of(root["status"])
    assert len(wanted) > 60
    assert wanted - {m.group(1) for r in ROWS if (m := re.match(r"\| `(\w+)` \|", r))} == set()


def test_no_field_is_without_a_meaning() -> None:
    assert [row for row in ROWS if row.startswith("| `") and row.endswith("|  |")] == []


def test_a_row_has_type_bounds_default_and_description() -> None:
    assert (
        "| `maxAttempts` | integer, 1 to 100 | `3` | "
        + ("Attempts that may fail; interruptions that are explained do not count. |")
        in ROWS
    )
    assert (
        "| `overrides` | list (≤ 256) of string (≤ 512) | `[]` | "
        + ("path.to.field=value, over the profile's configuration. |")
        in ROWS
    )
    assert "| `profile` | string (≤ 64) | required | Configuration profile: tiny, smol or mimo_vl_7b. |" in ROWS


def test_a_choice_lists_its_values_without_breaking_the_table() -> None:
    assert any(r.startswith(r"| `approval` | `none` \| `manual` | `" + '"none"`') for r in ROWS)


def test_links_between_types_lead_to_their_tables() -> None:
    headings = {r.removeprefix("### ").lower() for r in ROWS if r.startswith("### ")}
    links = {name for r in ROWS for name in re.findall(r"\]\(#(\w+)\)", r)}
    assert {MimoPipelineSpec.__name__.lower(), MimoPipelineStatus.__name__.lower()} <= headings
    assert links
    assert links <= headings


def test_refusals_are_listed_and_what_the_start_fixes_is_said_once() -> None:
    assert any("two stages depend on each other" in r for r in ROWS)
    assert not any("cannot change after the start" in r for r in ROWS)
    assert "`approvals`, `cancel`, `retry`, `suspend`, `ttlSecondsAfterFinished`." in ROWS
