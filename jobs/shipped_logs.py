"""The logs of an attempt whose pods are gone: every node's launcher copied its log to the store."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.cluster_store import open_cluster_store
from jobs.run_source import storage_config
from mimo_vl.errors import MimoError
from mimo_vl.storage import ArtifactStore, store_for_uri
from mimo_vl.storage.layout import LOGS_DIR, attempt_prefix, node_log_key

if TYPE_CHECKING:
    from operators.mimo_pipeline.api import StageStatus
    from operators.mimo_pipeline.kubernetes.api_client import PipelineClient
    from operators.mimo_pipeline.local.state import PipelineObject


@dataclass(frozen=True, kw_only=True)
class ShippedLogs:
    where: str
    """URI of the attempt."""
    texts: dict[int, str] = field(default_factory=dict)
    """By node."""
    problem: str = ""
    """Why they cannot be read from here."""


def shipped_logs(
    client: PipelineClient,
    pipeline: PipelineObject,
    stage: StageStatus,
    attempt: int,
    nodes: Collection[int] | None = None,
) -> ShippedLogs:
    """`nodes`: None = all that there are."""
    where = _attempt_uri(pipeline, stage, attempt, storage_config(pipeline).uri)
    try:
        with open_cluster_store(client, pipeline) as opened:
            where = _attempt_uri(pipeline, stage, attempt, opened.storage.uri)
            texts = read_logs(store_for_uri(where, opened.storage, opened.credentials), nodes)
    except MimoError as error:
        return ShippedLogs(where=where, problem=str(error))
    return ShippedLogs(where=where, texts=texts)


def read_logs(store: ArtifactStore, nodes: Collection[int] | None = None) -> dict[int, str]:
    """Of an attempt, whose folder is the root of the store; by node."""
    listed = [re.fullmatch(rf"{LOGS_DIR}/node-(\d+)\.log", info.key) for info in store.list(f"{LOGS_DIR}/")]
    found = sorted(int(match[1]) for match in listed if match)
    chosen = [node for node in found if nodes is None or node in nodes]
    return {node: store.get_bytes(node_log_key("", node))[0].decode(errors="replace") for node in chosen}


def _attempt_uri(pipeline: PipelineObject, stage: StageStatus, attempt: int, store: str) -> str:
    if stage.output_uri and stage.attempt == attempt:
        return stage.output_uri
    root = (pipeline.spec.storage.uri if pipeline.spec.storage else store) or "<store of the operator>"
    return f"{root.rstrip('/')}/{attempt_prefix(pipeline.run_id, stage.name, attempt)}"
