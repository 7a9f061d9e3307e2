"""Where a stage's inputs lie that were made elsewhere, and how its containers get the keys: by reference only."""

from __future__ import annotations

from typing import Any

from mimo_vl.schema.environment import InputStore, credential_variables
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.plan import Create

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def input_stores(facts: ClusterFacts) -> dict[str, InputStore]:
    """By URI of the input; what it does not say is as in the pipeline's own store."""
    own = facts.store
    return {
        given.uri: InputStore(
            endpoint=own.endpoint if given.endpoint is None else given.endpoint,
            region=own.region if given.region is None else given.region,
            secure=own.secure if given.secure is None else given.secure,
        )
        for given in facts.inputs
        if given.lies_elsewhere
    }


def store_credentials(secret: str, names: tuple[str, str] = _KEYS) -> list[dict[str, Any]]:
    """Variables of these names with access key and secret key out of a Secret."""
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for name, key in zip(names, _KEYS, strict=True)
    ]


def input_credentials(create: Create, facts: ClusterFacts) -> list[dict[str, Any]]:
    """Of those inputs that this attempt reads."""
    found = []
    for given in facts.inputs:
        used = create.inputs.get(given.name)
        if given.secret_ref and used is not None and used.uri == given.uri:
            found += store_credentials(given.secret_ref, credential_variables(given.name))
    return found
