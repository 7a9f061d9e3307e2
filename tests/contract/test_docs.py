"""The documentation points at files that exist and commands that are real."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from mimo_vl.evaluation.claims import check, check_learning

ROOT = Path(__file__).parents[2]
_ELSEWHERE = [ROOT / "charts/mimo-pipeline/README.md", ROOT / "devcluster/README.md"]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *_ELSEWHERE])


def _links(page: Path) -> list[tuple[str, str]]:
    """Path and anchor of each link within the repository; code that looks like one is none."""
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"\]\(([^)#:]*)#?([^)#:]*)\)", text)


def _anchors(page: Path) -> set[str]:
    """As the site makes them from headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in re.findall(r"^#+ (.*)$", text, re.M)]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target, anchor in _links(page):
        goal = page.parent / target if target else page
        assert goal.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor and goal.suffix == ".md":
            assert anchor in _anchors(goal), f"{page.name} links to {target}#{anchor}, and no heading is called so"


def test_links_are_found_where_they_are() -> None:
    found = [link for page in PAGES for link in _links(page)]
    assert len(found) > 100
    assert len([anchor for _, anchor in found if anchor]) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_on_a_page_imports_what_exists(page: Path) -> None:
    for code in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("mimo_vl", "jobs", "operators")):
                source = (ROOT / str(node.module).replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
                assert [a.name for a in node.names if not re.search(rf"\b{a.name}\b", source)] == [], node.module


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_yaml_on_a_page_can_be_read(page: Path) -> None:
    for text in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
        assert all(isinstance(document, dict) for document in yaml.safe_load_all(text))


def test_every_file_on_the_paper_map_exists() -> None:
    text = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:mimo_vl|jobs|operators|benchmarks)/[\w./-]+)`", text)
    assert len(paths) > 20
    assert [p for p in paths if not (ROOT / p).exists()] == []


def test_every_make_target_in_the_docs_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.M))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z0-9-]+)", page.read_text(encoding="utf-8"))}
    assert named
    assert named - targets == set()


def test_every_make_target_has_a_help_line() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert phony is not None
    documented = set(re.findall(r"^([a-z0-9-]+):.*?## ", makefile, re.M))
    assert set(phony.group(1).split()) == documented


def test_the_layers_on_the_architecture_page_are_those_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## Layers")[1].split("```")[1]
    lines = page.strip().splitlines()[1:]
    assert [re.split(r"\s{2,}", line.removeprefix("mimo_vl/").strip())[0] for line in lines] == layers
    needs = next(c for c in contracts if c["name"].startswith("the controller needs"))
    forbidden = {m.removeprefix("mimo_vl.") for m in needs["forbidden_modules"] if m.startswith("mimo_vl.")}
    # "the two lowest lines and `storage`"; reporting is above all that is forbidden.
    allowed = {name for layer in layers for name in layer.split(" | ")} - forbidden - {"reporting"}
    assert allowed == {*layers[-1].split(" | "), *layers[-2].split(" | "), "storage"}


def test_the_numbers_of_claims_are_one_number() -> None:
    """All that `make demo-check` judges, and those about learning alone, of the summary that `finalize` writes: on one
    machine that stage is in it as well, since `mimo run` writes it again at the end.
    """
    base, finalize = ({"name": name, "status": "Succeeded"} for name in ("base", "finalize"))
    num_others = len(check({"stages": [base, finalize]})) - len(check_learning({"stages": [base]}))
    pages = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("results.md", "reliability.md")}
    (in_all,) = re.findall(r"all (\d+) claims held", pages["results.md"])
    (learning,) = re.findall(r"all (\d+) claims that `make demo-check` makes about learning", pages["reliability.md"])
    assert int(in_all) - int(learning) == num_others


def test_the_number_of_images_is_that_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    number = len(re.search(r"^IMAGES \?= (.*)$", makefile, re.M)[1].split())  # type: ignore[index]
    words = {"four": 4, "five": 5, "six": 6}
    named = []
    for page in [*PAGES, ROOT / "charts/mimo-pipeline/README.md", ROOT / "Makefile"]:
        named += re.findall(r"build the (\w+) images", page.read_text(encoding="utf-8"))
    assert {words[word] for word in named} == {number}


def test_the_map_in_the_readme_has_every_folder() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where things are")[1].split("```")[1]
    packages = {p.name for p in (ROOT / "mimo_vl").iterdir() if (p / "__init__.py").is_file()}
    written = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {name.split("/")[0] for name in written if "/" in name and not name.startswith(".")} - {"requirements"}
    assert len(packages | folders) > 20
    assert [name for name in sorted(packages | folders) if not re.search(rf"\b{name}/", text)] == []


def test_every_test_that_the_reliability_page_names_exists() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    written = {name for text in files for name in re.findall(r"def (test_\w+)\(", text)}
    assert len(named) > 20
    assert named - written == set()
