"""docs/dependencies.md names what pyproject.toml asks for, and what our code imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Module -> what it is called where it is installed from, where the two differ.
_DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "hydra": "hydra-core", "kubeflow": "kubeflow-training"}
_OURS = ("mimo_vl", "jobs", "operators")


def _named() -> set[str]:
    """Names in the first column of the tables."""
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]+) \|", text, re.M)
    return {_normal(word) for cell in cells for word in re.findall(r"[\w.-]+", cell)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _required() -> set[str]:
    project = PYPROJECT["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    lists += PYPROJECT["dependency-groups"].values()
    return {_normal(re.match(r"[\w.-]+", line)[0]) for lines in lists for line in lines}  # type: ignore[index]


def _imported() -> set[str]:
    found = set[str]()
    for path in (path for folder in _OURS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).split(".")[0])
    return found - set(sys.stdlib_module_names) - set(_OURS)


def test_every_requirement_is_on_the_page() -> None:
    assert len(_required()) > 40
    assert _required() - _named() == set()


def test_a_library_is_named_once() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    # What stands in parentheses says how it gets here, not what it is.
    cells = [re.sub(r"\([^)]*\)", "", cell) for cell in re.findall(r"^\| ([^|]+) \|", text, re.M)]
    names = [name.strip() for cell in cells for name in cell.split(",")]
    names = [name for name in names if name not in ("library", "software")]
    assert len(names) > 40
    assert sorted(names) == sorted(set(names))


def test_every_imported_library_is_on_the_page() -> None:
    imported = {_normal(_DISTRIBUTIONS.get(name, name)) for name in _imported()}
    assert len(imported) > 20
    assert imported - _named() == set()


def test_the_page_says_of_unused_libraries_that_they_are_unused() -> None:
    """Whoever imports one of them says so on the page, and takes it out of here."""
    assert _imported() & {"vllm", "liger_kernel", "matplotlib"} == set()
    sources = [path.read_text(encoding="utf-8") for folder in _OURS for path in (ROOT / folder).rglob("*.py")]
    assert not any(re.search(r"\bray\.data\b", text) for text in sources)


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PYPROJECT["project"]["requires-python"]).groups()  # type: ignore[union-attr]
    wanted = f"3.{low} to 3.{int(high) - 1}"
    for page in ("README.md", "docs/quickstart.md", "docs/dependencies.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert wanted in text, page
        assert "or newer" not in text, page
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"(3, {low}) <= sys.version_info[:2] < (3, {high})" in makefile
    assert f"wanted {wanted}" in makefile


@pytest.mark.parametrize(
    ("version", "is_refused"), [("3, 10", True), ("3, 11", False), ("3, 13", False), ("3, 14", True)]
)
def test_another_python_is_refused_before_anything_is_made(tmp_path: Path, version: str, is_refused: bool) -> None:
    """A Python that says of itself that it has this version, and makes no environment."""
    python = tmp_path / "python"
    code = f'import sys; sys.version_info = ({version}, 0); sys.argv[1] == "-c" and exec(sys.argv[2])'
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{code}' \"$@\"\n")
    python.chmod(0o755)
    venv = tmp_path / "venv"
    command = ["make", f"{venv}/bin/python", f"VENV={venv}", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    refusal = f"PYTHON={python}: got Python {version.replace(', ', '.')}, wanted 3.11 to 3.13; name one of these"
    assert (refusal in done.stderr) is is_refused
    assert (f"{python} -m venv" in done.stdout) is not is_refused
