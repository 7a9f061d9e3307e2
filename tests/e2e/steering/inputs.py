"""Outputs of `make demo-ci` brought into the store of a release, as artifacts that were made elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.config.storage import StorageConfig
from mimo_vl.storage import ArtifactStore, store_for_uri
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import MANIFEST, OUTPUT_DIR, join
from tests.e2e.release import ROOT

_ELSEWHERE = "elsewhere"


def bring(stage: str, store: ArtifactStore) -> dict[str, Any]:
    """`spec.inputs[]` without a store: name, uri, digest."""
    source_uri, digest = _made_here(stage)
    source = store_for_uri(source_uri, StorageConfig(uri=source_uri))
    prefix = join(_ELSEWHERE, stage)
    for entry in read_manifest(source, "", expected_digest=digest).files:
        store.put_bytes(join(prefix, OUTPUT_DIR, entry.path), source.get_bytes(join(OUTPUT_DIR, entry.path))[0])
    store.put_bytes(join(prefix, MANIFEST), source.get_bytes(MANIFEST)[0])
    return {"name": stage, "uri": store.uri(prefix), "digest": digest}


def _made_here(stage: str) -> tuple[str, str]:
    folder = Path(os.environ.get("MIMO_DEMO_CI_DIR", ROOT / "runs/demo-ci"))
    state = folder / "pipeline.json"
    if not state.is_file():
        pytest.skip(f"no run of `make demo-ci` in {folder} to take inputs from")
    [found] = [s for s in json.loads(state.read_text())["status"]["stages"] if s["name"] == stage]
    return found["outputUri"], found["digest"]
