"""The logs of an attempt whose pods are gone: every node's launcher copied its log to the store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jobs.runtime import has_store_credentials, store_endpoint_url
from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import InputError, MimoError
from mimo_vl.storage import store_for_uri
from mimo_vl.storage.layout import LOGS_DIR, attempt_prefix, node_log_key

if TYPE_CHECKING:
    from operators.mimo_pipeline.api import StageStatus
    from operators.mimo_pipeline.local.state import PipelineObject

_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def shipped_logs(
    pipeline: PipelineObject, stage: StageStatus, attempt: int, node: int | None
) -> Iterator[tuple[str, str]]:
    """(name, text) by node; `node` None = all.

    Raises:
        InputError: says where the logs are, and why they cannot be read from here.
    """
    section = _storage_section(pipeline)
    where = _attempt_uri(pipeline, stage, attempt, str(section.get("uri", "")))
    try:
        found = _read(where, section, node) if section.get("uri") and has_store_credentials() else None
    except MimoError as error:
        raise InputError(_gone(stage, attempt, where, f"they cannot be read: {error}")) from error
    if found is None:
        raise InputError(_gone(stage, attempt, where, f"set {_KEYS} to read them here"))
    if not found:
        raise InputError(_gone(stage, attempt, where, "there is none" + (" of this node" if node is not None else "")))
    yield from found


def storage_config(pipeline: PipelineObject) -> StorageConfig:
    """Address of the S3 store, as it is reached from here."""
    return _s3_config(_storage_section(pipeline))


def _s3_config(section: dict[str, Any]) -> StorageConfig:
    return StorageConfig(kind="s3", **{name: section[name] for name in ("endpoint", "region", "secure")})


def _read(where: str, section: dict[str, Any], node: int | None) -> list[tuple[str, str]]:
    store = store_for_uri(where, _s3_config(section).impatient())
    listed = [re.fullmatch(rf"{LOGS_DIR}/node-(\d+)\.log", info.key) for info in store.list(f"{LOGS_DIR}/")]
    nodes = sorted(int(match[1]) for match in listed if match)
    chosen = [number for number in nodes if node in (None, number)]
    return [(f"node {n}", store.get_bytes(node_log_key("", n))[0].decode(errors="replace")) for n in chosen]


def _storage_section(pipeline: PipelineObject) -> dict[str, Any]:
    """As frozen at the start. AWS_ENDPOINT_URL goes first: a store inside the cluster has another address here."""
    runtime = pipeline.status.runtime
    frozen = runtime.config.get("storage") if runtime else None
    section: dict[str, Any] = {"endpoint": "", "region": "us-east-1", "secure": True}
    section |= frozen if isinstance(frozen, dict) else {}
    url = urlsplit(store_endpoint_url())
    return section | ({"endpoint": url.netloc, "secure": url.scheme == "https"} if url.netloc else {})


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
