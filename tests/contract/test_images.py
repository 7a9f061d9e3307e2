"""The images hold what the checkout holds, run as nobody's root, and bring compilers only where Triton needs them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from operators.mimo_pipeline.code_digest import code_digest

ROOT = Path(__file__).parents[2]
_IMAGES = {
    "operator": "operator.txt",
    "trainer": "train.txt",
    "rollout": "rollout.txt",
    "mlflow": "mlflow.txt",
    "kfp": "kfp.txt",
}
_WITH_OUR_CODE = ("operator", "trainer", "rollout", "kfp")
# A stage starts with the last FROM.
_FINAL_STAGE = re.compile(r"^FROM base$", re.MULTILINE)


@pytest.mark.parametrize("name", _WITH_OUR_CODE)
def test_the_code_digest_in_an_image_is_that_of_the_checkout(name: str, tmp_path: Path) -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) /opt/mimo(/\S*)$", _dockerfile(name), re.MULTILINE)
    assert len(copies) == 5
    for sources, target in copies:
        for source in sources.split():
            _copy(ROOT / source, tmp_path / target.strip("/"))
    assert code_digest(tmp_path) == code_digest(ROOT)


def test_the_context_carries_what_the_images_copy_and_no_more() -> None:
    allowed = {line[1:] for line in _lines(ROOT / ".dockerignore") if line.startswith("!")}
    copied = {
        source.split("/")[0]
        for name in _IMAGES
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", _dockerfile(name), re.MULTILINE)
        for source in sources.split()
    }
    assert _lines(ROOT / ".dockerignore")[1] == "*"
    assert allowed == copied


@pytest.mark.parametrize(("name", "requirements"), _IMAGES.items())
def test_packages_come_from_the_lock_file_with_hashes(name: str, requirements: str) -> None:
    text = _dockerfile(name)
    assert f"COPY requirements/{requirements} /tmp/requirements.txt" in text
    assert "--require-hashes" in text
    assert "--hash=sha256:" in (ROOT / "requirements" / requirements).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", _IMAGES)
def test_an_image_is_based_labelled_and_not_root(name: str) -> None:
    text = _dockerfile(name)
    assert "\nARG BASE=python:3.11-slim-bookworm\n" in text
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["1000:1000"]
    assert f'org.opencontainers.image.title="mimo-{name}"' in text
    for label in ("description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in text


@pytest.mark.parametrize("name", _IMAGES)
def test_another_version_or_revision_makes_no_layer_anew(name: str) -> None:
    instructions = re.findall(r"^[A-Z]+", _FINAL_STAGE.split(_dockerfile(name))[1], re.MULTILINE)
    makes_a_layer = [place for place, word in enumerate(instructions) if word in ("COPY", "RUN")]
    assert makes_a_layer
    assert instructions.index("ARG") > makes_a_layer[-1]
    assert instructions.index("LABEL") > makes_a_layer[-1]


@pytest.mark.parametrize("name", _IMAGES)
def test_compilers_are_where_kernels_are_compiled_and_nowhere_else(name: str) -> None:
    final = _FINAL_STAGE.split(_dockerfile(name))[1]
    assert ("gcc" in final) == (name in ("trainer", "rollout"))


@pytest.mark.parametrize("name", ["trainer", "rollout"])
def test_caches_are_on_the_scratch_volume(name: str) -> None:
    caches = dict(re.findall(r"(\w+_(?:DIR|HOME|ROOT|CONFIGDIR))=(\S+)", _dockerfile(name)))
    assert {"TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "HF_HOME"} <= set(caches)
    assert [name for name, path in caches.items() if not path.startswith("/scratch/")] == []


def test_the_images_of_ray_pods_have_vllm() -> None:
    assert re.search(r"^vllm==", (ROOT / "requirements" / "rollout.txt").read_text(encoding="utf-8"), re.MULTILINE)


def _dockerfile(name: str) -> str:
    return (ROOT / "images" / name / "Dockerfile").read_text(encoding="utf-8")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
