"""Files that are made from code: `python -m operators.mimo_pipeline.generate` writes them, `--check` only compares.

Another file is another entry in FILES.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from mimo_vl.config.reference import config_reference
from mimo_vl.observability.dashboards.alerts import CHART_SELECTOR, rules_text
from mimo_vl.observability.dashboards.catalogue import DASHBOARDS
from mimo_vl.observability.dashboards.grafana import dashboard_text
from operators.mimo_pipeline.chart_images import images_txt
from operators.mimo_pipeline.chart_readme import readme
from operators.mimo_pipeline.chart_rules import rules_yaml
from operators.mimo_pipeline.crd import crd_yaml
from operators.mimo_pipeline.metrics_reference import metrics_reference
from operators.mimo_pipeline.spec_reference import spec_reference
from operators.mimo_pipeline.submission import Submission, build_object, object_yaml
from operators.mimo_pipeline.values_reference import values_reference

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]


def _example(submission: Submission) -> str:
    """What `mimo submit --dry-run` prints."""
    return object_yaml(build_object(submission))


_CHART_FILES = "charts/mimo-pipeline/files"
# Twice, because a chart can only read what lies in it.
_DASHBOARDS = {
    f"{folder}/{board.uid}.json": partial(dashboard_text, board)
    for folder in ("dashboards", f"{_CHART_FILES}/dashboards")
    for board in DASHBOARDS
}

# Path below the repository's root -> its text.
FILES: Mapping[str, Callable[[], str]] = {
    "charts/mimo-pipeline/files/crd.yaml": crd_yaml,
    "examples/tiny.yaml": lambda: _example(Submission(profile="tiny")),
    "examples/demo-ci.yaml": lambda: _example(Submission(profile="tiny", name="demo-ci", overrides=("@demo-ci",))),
    "charts/mimo-pipeline/files/operator-rules.yaml": rules_yaml,
    "charts/mimo-pipeline/images.txt": images_txt,
    "charts/mimo-pipeline/README.md": readme,
    "docs/mimopipeline.md": spec_reference,
    "docs/metrics.md": metrics_reference,
    "docs/values.md": values_reference,
    **_DASHBOARDS,
    "dashboards/alerts.yaml": rules_text,
    f"{_CHART_FILES}/alerts.yaml": partial(rules_text, CHART_SELECTOR),
    "docs/configuration.md": config_reference,
}


def stale_files(root: Path = ROOT, files: Mapping[str, Callable[[], str]] = FILES) -> dict[str, str]:
    """Path -> generated text, of files that hold another text or none."""
    made = {name: make() for name, make in files.items()}
    return {name: text for name, text in made.items() if _text(root / name) != text}


def write_files(root: Path = ROOT, files: Mapping[str, Callable[[], str]] = FILES) -> list[str]:
    """Write what is stale; returns the paths written."""
    stale = stale_files(root, files)
    for name, text in stale.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(stale)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is not up to date")
    if not parser.parse_args(arguments).check:
        for name in write_files():
            logger.info("wrote %s", name)
        return 0
    stale = stale_files()
    for name in stale:
        logger.error("%s is not what the code generates; run `make generate` and commit it", name)
    return 1 if stale else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main())
