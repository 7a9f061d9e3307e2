"""The operator finds the page of the run in the tracking server by the record that the stages left."""

from __future__ import annotations

import json

from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.kubernetes.store_evidence import EvidenceReader

_RUN = "train/demo/0123abcd"


def _reader(tmp_path, content: str | None = None) -> EvidenceReader:
    store = LocalStore(tmp_path)
    if content is not None:
        store.put_bytes(f"runs/{_RUN}/tracking.json", content.encode())
    return EvidenceReader(store, _RUN)


def test_the_page_is_made_of_server_experiment_and_run(tmp_path) -> None:
    record = {"uri": "http://mlflow:5000/", "experiment_id": "3", "run_id": "ab12"}
    assert _reader(tmp_path, json.dumps(record)).tracking_url() == "http://mlflow:5000/#/experiments/3/runs/ab12"


def test_without_a_record_or_with_a_damaged_one_there_is_no_page(tmp_path) -> None:
    assert _reader(tmp_path).tracking_url() == ""
    assert _reader(tmp_path, "{}").tracking_url() == ""
    assert _reader(tmp_path, "{").tracking_url() == ""
