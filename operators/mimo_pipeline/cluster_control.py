"""How a user's control (suspend, retry, approve, ...) changes a MimoPipeline on a cluster: read, decide, patch.

Only controls are written, and only if nobody wrote the object since it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import ValidationError

from mimo_vl.errors import InputError
from operators.mimo_pipeline.api import CONTROL_FIELDS, MimoPipelineSpec
from operators.mimo_pipeline.local.state import Metadata, PipelineObject

_MAX_TRIES = 5


class EditingClient(Protocol):
    def get(self, name: str) -> dict[str, Any]: ...

    def patch(self, name: str, operations: list[dict[str, Any]]) -> dict[str, Any]: ...


def parse_object(raw: Mapping[str, Any]) -> PipelineObject:
    """Raises InputError when the object is of another version than this program."""
    metadata = raw["metadata"]
    try:
        return PipelineObject(
            metadata=Metadata(
                name=metadata["name"],
                namespace=metadata["namespace"],
                uid=metadata["uid"],
                generation=metadata.get("generation", 1),
                labels=metadata.get("labels") or {},
                annotations=metadata.get("annotations") or {},
                created_at=metadata["creationTimestamp"],
            ),
            spec=raw["spec"],
            status=raw.get("status") or {},
        )
    except ValidationError as error:
        wrong = "\n".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"{metadata['name']}: not a pipeline that this version of mimo knows:\n{wrong}") from error


def control_patch(before: MimoPipelineSpec, after: MimoPipelineSpec, resource_version: str) -> list[dict[str, Any]]:
    """JSON patch from one spec to the other; empty if they have the same controls."""
    old, new = before.to_values(), after.to_values()
    operations: list[dict[str, Any]] = []
    for field in sorted(CONTROL_FIELDS):
        alias = _alias(field)
        if old.get(alias) == new.get(alias):
            continue
        path = f"/spec/{alias}"
        operations.append(
            {"op": "add", "path": path, "value": new[alias]} if alias in new else {"op": "remove", "path": path}
        )
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version}
    return [test, *operations] if operations else []


def edit(
    client: EditingClient,
    name: str,
    change: Callable[[PipelineObject], MimoPipelineSpec],
    changed_meanwhile: type[Exception],
) -> None:
    """Apply `change`; when `changed_meanwhile` is raised, read again and decide anew, a few times."""
    for last in reversed(range(_MAX_TRIES)):
        raw = client.get(name)
        pipeline = parse_object(raw)
        operations = control_patch(pipeline.spec, change(pipeline), raw["metadata"]["resourceVersion"])
        if not operations:
            return
        try:
            client.patch(name, operations)
            return
        except changed_meanwhile:
            if not last:
                raise


def _alias(field: str) -> str:
    return MimoPipelineSpec.model_fields[field].alias or field
