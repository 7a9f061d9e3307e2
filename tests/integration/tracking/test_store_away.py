"""An S3 store that goes away while a stage logs: nothing waits for it, and in the end nothing is missing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mimo_vl.config.storage import StorageConfig, TrackingConfig
from mimo_vl.storage import ArtifactStore, store_for_uri
from mimo_vl.tracking import RunStatus, build_tracker
from mimo_vl.tracking.journal import read_journal
from tests.fakes.flaky_proxy import FlakyProxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

RUN = "runs/local/demo/abcd1234"
ATTEMPT = f"{RUN}/long-context-sft/attempt-1"


@pytest.fixture
def proxy(endpoint: str) -> Iterator[FlakyProxy]:
    with FlakyProxy(endpoint) as proxy:
        yield proxy


def test_a_stage_logs_on_while_the_store_is_away(
    store: ArtifactStore, config: StorageConfig, proxy: FlakyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimo_vl.tracking.journal_upload._INTERVAL_S", 0.05)
    far = replace(config, endpoint=proxy.endpoint, outage_timeout_s=60.0)
    tracker = build_tracker(
        TrackingConfig(system_metrics_interval_s=0.0),
        uri="",
        store=store_for_uri(store.uri(), far),
        impatient=store_for_uri(store.uri(), far.impatient()),
        run=RUN,
        attempt=ATTEMPT,
        journal_dir=tmp_path / "journal",
    )
    tracker.start("long-context-sft-1", {}, {})
    tracker.flush()
    proxy.down()
    slowest_s = 0.0
    for step in range(600):
        before_s = time.monotonic()
        tracker.log_metrics({"loss": 1.0}, step)
        if step % 100 == 0:
            tracker.log_artifact(f"plots/{step}.svg", b"<svg/>")
            # Uploads are tried, in vain, between the steps.
            time.sleep(0.1)
        slowest_s = max(slowest_s, time.monotonic() - before_s)
    # A patient request would have taken a minute; a machine under load may take a second.
    assert slowest_s < 10.0
    journal = f"{ATTEMPT}/journal"
    assert [e.kind for e in read_journal(store, journal)] == ["start"]
    # The end waits for the store.
    timer = proxy.up_after(1.0)
    tracker.finish(RunStatus.FINISHED)
    timer.join()
    entries = list(read_journal(store, journal))
    assert [e.step for e in entries if e.kind == "metrics"] == list(range(600))
    assert entries[-1].kind == "finish"
    assert store.get_bytes(f"{journal}/files/attempt/plots/500.svg")[0] == b"<svg/>"
