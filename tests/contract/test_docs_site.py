"""Every page of docs/ has its place on the site, and links on it are those of the repository, turned."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


class _Loader(yaml.SafeLoader):
    """mkdocs.yml names a Python function, which is not loaded here."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, suffix, node: suffix)


def test_every_page_is_in_the_navigation_once() -> None:
    site = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=_Loader)
    pages = list(_pages(site["nav"]))
    assert len(pages) == len(set(pages))
    apart = tuple(line.strip() for line in site.get("not_in_nav", "").splitlines() if line.strip())
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    shown = {name for name in written if not name.startswith(apart)} if apart else written
    assert shown | {"index.md", "contributing.md", "changelog.md"} == set(pages)


def _pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _pages(entry)


def test_every_page_begins_with_its_title() -> None:
    """Else the site names it by its file."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    assert [p.name for p in pages if not p.read_text(encoding="utf-8").startswith("# ")] == []


def test_a_broken_link_fails_the_build() -> None:
    """mkdocs counts the warnings that it shows: with --quiet, --strict finds none."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (build,) = [line for line in makefile.splitlines() if "mkdocs build" in line]
    assert "--strict" in build
    assert "--quiet" not in build
    assert "-q" not in build.split()
    site = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=_Loader)
    assert set(site["validation"].values()) == {"warn"}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs/_site/hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "place", "written", "shown"),
    [
        ("README.md", "index.md", "[a](docs/kubernetes.md#install)", "[a](kubernetes.md#install)"),
        (
            "docs/kubernetes.md",
            "kubernetes.md",
            "[its README](../devcluster/README.md)",
            "its README (`devcluster/README.md`)",
        ),
        ("README.md", "index.md", "([example](docs/images/report.png))", "([example](images/report.png))"),
        ("docs/how-to/x.md", "how-to/x.md", "[start](../../README.md)", "[start](../index.md)"),
        ("docs/a.md", "a.md", "[web](https://example.com/x.md)", "[web](https://example.com/x.md)"),
        ("docs/a.md", "a.md", "`([a-z]([-a-z]*)?)?` [`b`](b.md)", "`([a-z]([-a-z]*)?)?` [`b`](b.md)"),
    ],
)
def test_links_lead_to_pages_or_name_a_file(
    hooks: ModuleType, source: str, place: str, written: str, shown: str
) -> None:
    assert hooks._LINK.sub(lambda link: hooks._on_site(link, source, place), written) == shown
