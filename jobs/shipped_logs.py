"""The logs of an attempt whose pods are gone: every node's launcher copied its log to the store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.cluster_store import open_cluster_store
from jobs.run_source import storage_config
from mimo_vl.errors import InputError, MimoError
from mimo_vl.storage import ArtifactStore, store_for_uri
from mimo_vl.storage.layout import LOGS_DIR, attempt_prefix, node_log_key

if TYPE_CHECKING:
    from operators.mimo_pipeline.api import StageStatus
    from operators.mimo_pipeline.kubernetes.api_client import PipelineClient
    from operators.mimo_pipeline.local.state import PipelineObject


def shipped_logs(
    client: PipelineClient, pipeline: PipelineObject, stage: StageStatus, attempt: int, node: int | None
) -> Iterator[tuple[str, str]]:
    """(name, text) by node; `node` None = all.

    Raises:
        InputError: says where the logs are, and why they cannot be read from here.
    """
    where = _attempt_uri(pipeline, stage, attempt, storage_config(pipeline).uri)
    try:
        with open_cluster_store(client, pipeline) as opened:
            uri = _attempt_uri(pipeline, stage, attempt, opened.storage.uri)
            found = read_logs(store_for_uri(uri, opened.storage, opened.credentials), node)
    except MimoError as error:
        raise InputError(_gone(stage, attempt, where, f"they cannot be read: {error}")) from error
    if not found:
        raise InputError(_gone(stage, attempt, where, "there is none" + (" of this node" if node is not None else "")))
    yield from found


def read_logs(store: ArtifactStore, node: int | None) -> list[tuple[str, str]]:
    """Of an attempt, whose folder is the root of the store."""
    listed = [re.fullmatch(rf"{LOGS_DIR}/node-(\d+)\.log", info.key) for info in store.list(f"{LOGS_DIR}/")]
    nodes = sorted(int(match[1]) for match in listed if match)
    chosen = [number for number in nodes if node in (None, number)]
    return [(f"node {n}", store.get_bytes(node_log_key("", n))[0].decode(errors="replace")) for n in chosen]


def _attempt_uri(pipeline: PipelineObject, stage: StageStatus, attempt: int, store: str) -> str:
    if stage.output_uri and stage.attempt == attempt:
        return stage.output_uri
    root = (pipeline.spec.storage.uri if pipeline.spec.storage else store) or "<store of the operator>"
    return f"{root.rstrip('/')}/{attempt_prefix(pipeline.run_id, stage.name, attempt)}"


def _gone(stage: StageStatus, attempt: int, where: str, why: str) -> str:
    return (
        f"stage {stage.name}, attempt {attempt}: its pods are gone; logs, metrics and the exit record stay in {where} "
        f"(logs: {LOGS_DIR}/node-<n>.log; {why})"
    )
