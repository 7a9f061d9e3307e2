"""What docs/monitoring.md tells people to write works: scrape configurations, alerts, ports."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mimo_vl.config.observability import NUM_STAGE_PORTS
from mimo_vl.observability.dashboards.alerts import alerts
from operators.mimo_pipeline.builders.metadata import STAGE_METRICS_PORT

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
_PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(_PROMTOOL is None, reason="promtool is missing: apt-get install --no-install-recommends prometheus")
def test_the_scrape_configurations_are_valid(tmp_path: Path) -> None:
    blocks = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S) if "scrape_configs" in text]
    assert len(blocks) == 2
    for block in blocks:
        # Debian's build leaves the discovery of Kubernetes out; the relabelling is checked all the same.
        known = block.replace("kubernetes_sd_configs: [{role: pod}]", "static_configs: [{targets: [a]}]")
        (tmp_path / "prometheus.yml").write_text(known, encoding="utf-8")
        assert _PROMTOOL is not None
        command = [_PROMTOOL, "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_in_the_table_with_its_runbook() -> None:
    listed = re.findall(r"^\| \[(Mimo\w+)\]\(runbooks/(Mimo\w+)\.md\) \|", PAGE, re.M)
    assert [name for name, _ in listed] == [alert.name for alert in alerts()]
    assert all(name == page for name, page in listed)


def test_the_ports_are_those_of_the_code() -> None:
    assert f"port {STAGE_METRICS_PORT}" in PAGE
    assert f"9400, its stages on 9401 to {9400 + NUM_STAGE_PORTS}" in PAGE
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    [targets] = [b["targets"] for b in yaml.safe_load(blocks[0])["scrape_configs"][0]["static_configs"]]
    assert {int(target.rpartition(":")[2]) for target in targets} <= set(range(9400, 9401 + NUM_STAGE_PORTS))
