"""Own data in a bucket: `mimo data add --store s3://…`, and how `curate` gets them from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from mimo_vl.config.storage import StorageConfig
from mimo_vl.data.custom.folder import open_folder
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.attempt_files import AttemptFiles
from mimo_vl.storage.layout import data_prefix
from tests.unit.data.own_data import own_line, write_own_data

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def test_a_folder_added_to_a_bucket_is_found_by_its_digest_alone(
    store: ArtifactStore, config: StorageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{config.endpoint}")
    own = write_own_data(tmp_path / "own", [own_line(1), own_line(2)])
    arguments = ["data", "add", str(own), "--store", store.uri(), "--output", "json"]
    for _ in range(2):
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0
    facts = json.loads(done.output)
    uri = store.uri(data_prefix(facts["digest"]))
    assert facts["uri"] == uri
    files = AttemptFiles(root_uri=store.uri(), prefix="a", storage=config, scratch=lambda: tmp_path / "scratch")
    folder = files.materialise(InputRef(uri=uri, digest=facts["digest"]))
    assert [item.line for item in open_folder(folder)] == [item.line for item in open_folder(own)]
