"""Every alert fires when it should and not otherwise (promtool), has a runbook, and asks for metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mimo_vl.observability.dashboards.alerts import alerts, rules_text
from mimo_vl.observability.metrics import RUN_LABELS, all_metrics
from tests.contract.alert_cases import CASES, Case

ROOT = Path(__file__).parents[2]
ALERTS = {alert.name: alert for alert in alerts()}
_PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    _PROMTOOL is None, reason="promtool is missing; apt-get install --no-install-recommends prometheus brings it"
)


def _promtool(*arguments: str) -> str:
    assert _PROMTOOL is not None
    done = subprocess.run([_PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _test_file(folder: Path, name: str, case: Case) -> Path:
    (folder / "rules.yaml").write_text(rules_text(), encoding="utf-8")
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in inputs.items()],
            "alert_rule_test": [{"eval_time": case.at, "alertname": name, "exp_alerts": expected}],
        }
        for inputs, expected in ((case.fires, [_expected(name, case)]), (case.silent, []), (case.ended, []))
        if inputs
    ]
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": tests}), encoding="utf-8")
    return path


def _expected(name: str, case: Case) -> dict[str, dict[str, str]]:
    """Annotations are compared, too: their templates are filled in from labels and value."""
    alert = ALERTS[name]
    summary = alert.summary
    for label, value in case.labels.items():
        summary = summary.replace(f"{{{{ $labels.{label} }}}}", value)
    for template, text in _VALUES.get(name, {}).items():
        summary = summary.replace(template, text)
    assert "{{" not in summary, f"{name}: {summary} has a template that its labels and _VALUES do not fill"
    annotations = {"summary": summary, "runbook": f"docs/runbooks/{name}.md"}
    return {"exp_labels": {"severity": alert.severity, **case.labels}, "exp_annotations": annotations}


# What the values of the firing series become in the summary.
_VALUES = {
    "MimoStageFailsAgain": {"{{ $value }}": "2"},
    "MimoNodeMemoryAlmostFull": {"{{ $value }}": "97"},
    "MimoTrainingWaitsForData": {"{{ $value | humanizePercentage }}": "40%"},
    "MimoLogprobMismatch": {"{{ $value }}": "0.06"},
    "MimoGroupsTeachNothing": {"{{ $value | humanizePercentage }}": "1%"},
    "MimoRewardsUnknown": {"{{ $value | humanizePercentage }}": "10%"},
}


def test_each_alert_has_a_case_and_each_case_an_alert() -> None:
    assert len(ALERTS) >= 10
    assert set(CASES) == set(ALERTS)


def test_each_alert_of_a_stage_has_a_case_in_which_the_stage_has_ended() -> None:
    of_stages = {name for name, alert in ALERTS.items() if "$labels.stage" in alert.summary}
    assert len(of_stages) >= 7
    assert {name for name, case in CASES.items() if case.ended} == of_stages


@needs_promtool
@pytest.mark.parametrize("name", sorted(CASES))
def test_an_alert_fires_when_it_should_and_not_otherwise(name: str, tmp_path: Path) -> None:
    assert "SUCCESS" in _promtool("test", "rules", str(_test_file(tmp_path, name, CASES[name])))


@needs_promtool
def test_the_rules_of_the_chart_and_of_the_repository_are_valid() -> None:
    for path in (ROOT / "dashboards" / "alerts.yaml", ROOT / "charts/mimo-pipeline/files/alerts.yaml"):
        assert f"{len(ALERTS)} rules found" in _promtool("check", "rules", str(path))


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_has_a_runbook_that_says_what_to_do(name: str) -> None:
    text = (ROOT / "docs" / "runbooks" / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", text, re.M) == ["What it means", "Look at", "Do"]


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} - {"index"} == set(ALERTS)


def test_alerts_ask_only_for_declared_metrics() -> None:
    declared = {sample for metric in all_metrics().values() for sample in metric.sample_names}
    asked = {name for alert in ALERTS.values() for name in re.findall(r"mimo_\w+", alert.expr)} - set(RUN_LABELS)
    assert len(asked) > 10
    assert asked <= declared
