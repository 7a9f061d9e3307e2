"""What the API server checks of a MimoPipeline beyond types: CEL rules with messages that say what to do.

Paths are those of the schema (`[]` = every item). A rule sees its own node as `self`; only the root sees
metadata.name and, on updates, the old object. What CEL cannot see (circles of three, unknown configuration, patterns of
map keys, missing Secrets) is found by the controller and ends in condition Valid=False.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from operators.mimo_pipeline.api import CONTROL_FIELDS, MimoPipelineSpec
from operators.mimo_pipeline.naming import MAX_PIPELINE_PLUS_STAGE

ROOT, SPEC, STAGE, RETRY = "", "spec", "spec.stages[]", "spec.stages[].retry"

# Lists that are maps or sets: their keys are unique, and server-side apply merges them by key.
LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "spec.stages": ("name",),
    "spec.inputs": ("name",),
    "spec.approvals": ("stage", "key"),
    "status.stages": ("name",),
    "status.conditions": ("type",),
}
SETS = frozenset({"spec.stages[].dependsOn", "spec.stages[].inputs"})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`field` is where the error is reported, below the rule's path.

    Messages are fixed texts: one that CEL makes from the names of stages is beyond the server's cost budget.
    """

    path: str
    rule: str
    message: str
    field: str = ""

    def to_values(self) -> dict[str, Any]:
        values = {"rule": self.rule, "message": self.message}
        if self.field:
            values["fieldPath"] = self.field
        return values


_STAGE_RULES = (
    Rule(
        path=STAGE,
        rule="[has(self.job), has(self.pytorch), has(self.ray)].filter(x, x).size() <= 1",
        message="more than one of job, pytorch and ray is set; keep exactly one",
    ),
    Rule(
        path=STAGE,
        field=".dependsOn",
        rule="!has(self.dependsOn) || !(self.name in self.dependsOn)",
        message="dependsOn names the stage itself; remove it",
    ),
    Rule(
        path=STAGE,
        field=".inputs",
        rule="!has(self.dependsOn) || !has(self.inputs) || !self.dependsOn.exists(d, d in self.inputs)",
        message="a name is in both dependsOn and inputs; dependsOn names stages, inputs names entries of spec.inputs",
    ),
    Rule(
        path=RETRY,
        field=".maxBackoffSeconds",
        rule="self.backoffSeconds <= self.maxBackoffSeconds",
        message="maxBackoffSeconds is smaller than backoffSeconds; raise it or lower backoffSeconds",
    ),
)

_UNKNOWN_NEED = "has(s.dependsOn) && s.dependsOn.exists(d, !self.stages.exists(t, t.name == d))"
_UNKNOWN_INPUT = "has(s.inputs) && s.inputs.exists(i, !has(self.inputs) || !self.inputs.exists(x, x.name == i))"
_MUTUAL = (
    "self.stages.exists(t, has(s.dependsOn) && has(t.dependsOn) && t.name in s.dependsOn && s.name in t.dependsOn)"
)

_SPEC_RULES = (
    Rule(
        path=SPEC,
        field=".stages",
        rule=f"!self.stages.exists(s, {_UNKNOWN_NEED})",
        message="dependsOn names a stage that is not in spec.stages; add the stage or correct the name",
    ),
    Rule(
        path=SPEC,
        field=".stages",
        rule=f"!self.stages.exists(s, {_MUTUAL})",
        message="two stages depend on each other; remove one dependsOn",
    ),
    Rule(
        path=SPEC,
        field=".stages",
        rule=f"!self.stages.exists(s, {_UNKNOWN_INPUT})",
        message="inputs of a stage names no entry of spec.inputs; add the entry or correct the name",
    ),
    Rule(
        path=SPEC,
        field=".approvals",
        rule="!has(self.approvals) || self.approvals.all(a, self.stages.exists(s, s.name == a.stage))",
        message="approvals names a stage that is not in spec.stages; correct the name",
    ),
    Rule(
        path=SPEC,
        field=".retry",
        rule="!has(self.retry) || self.stages.exists(s, s.name == self.retry.from)",
        message="retry.from names a stage that is not in spec.stages; correct the name",
    ),
)

_NAME_RULES = (
    Rule(
        path=ROOT,
        field=".metadata.name",
        rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message="metadata.name must start with a letter and have only lower-case letters, digits and '-': "
        "jobs are named after it; choose another name",
    ),
    Rule(
        path=ROOT,
        field=".metadata.name",
        rule="self.spec.stages.all(s, s.name.size() + self.metadata.name.size() <= " + f"{MAX_PIPELINE_PLUS_STAGE})",
        message=f"metadata.name and a stage name have more than {MAX_PIPELINE_PLUS_STAGE} characters together; "
        "shorten one (Kubernetes limits the names of the jobs made from them)",
    ),
)


def rules() -> tuple[Rule, ...]:
    return (*_NAME_RULES, *_fixed_fields(), *_SPEC_RULES, *_STAGE_RULES)


def _fixed_fields() -> Iterable[Rule]:
    """Once status.startedAt is set, every field but the controls stays as it is."""
    for name, field in MimoPipelineSpec.model_fields.items():
        if name in CONTROL_FIELDS:
            continue
        alias = field.alias or name
        new, old = f"self.spec.{alias}", f"oldSelf.spec.{alias}"
        same = f"{new} == {old}"
        if not field.is_required():
            same = f"has({new}) == has({old}) && (!has({new}) || {same})"
        yield Rule(
            path=ROOT,
            field=f".spec.{alias}",
            rule=f"!has(oldSelf.status) || !has(oldSelf.status.startedAt) || ({same})",
            message=f"spec.{alias} cannot change after the start; only suspend, cancel, retry, approvals and "
            "ttlSecondsAfterFinished can. Create a new pipeline: finished stages are reused",
        )
