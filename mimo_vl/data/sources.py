"""Which real things the tiny profile's composites are made of, and where they lie in installed packages.

1,797 handwritten digits of scikit-learn, photographs of scikit-image, scikit-learn and matplotlib, and the prose of
scikit-learn's data set descriptions. Each source has the sha256 of its content as its name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mimo_vl.data.record import sha256_hex
from mimo_vl.errors import InputError
from mimo_vl.processing.images import decode_image

Pixels = npt.NDArray[np.uint8]

_PHOTOGRAPHS: tuple[tuple[str, str], ...] = (
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/brick.png"),
    ("skimage", "data/camera.png"),
    ("skimage", "data/cell.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/coins.png"),
    ("skimage", "data/grass.png"),
    ("skimage", "data/gravel.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/ihc.png"),
    ("skimage", "data/moon.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/retina.jpg"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)
# Photographs are shrunk to this longer side: crops of 112 px then show something.
_PHOTOGRAPH_SIDE = 360
_PARAGRAPH_CHARACTERS = (60, 420)


@dataclass(frozen=True, eq=False)
class Digit:
    """pixels: [8, 8] uint8, ink 0..255."""

    digest: str
    label: int
    pixels: Pixels


@dataclass(frozen=True, eq=False)
class Photograph:
    digest: str
    name: str
    pixels: Pixels


@dataclass(frozen=True)
class Paragraph:
    digest: str
    text: str


@dataclass(frozen=True)
class Sources:
    """All in a fixed order: digits as shipped, photographs and paragraphs by path."""

    digits: tuple[Digit, ...]
    photographs: tuple[Photograph, ...]
    paragraphs: tuple[Paragraph, ...]


@lru_cache(maxsize=1)
def load_sources() -> Sources:
    return Sources(digits=_load_digits(), photographs=_load_photographs(), paragraphs=_load_paragraphs())


def _load_digits() -> tuple[Digit, ...]:
    """Rows of 64 ink values 0..16 and the label."""
    table = np.loadtxt(
        _package_folder("sklearn") / "datasets" / "data" / "digits.csv.gz", delimiter=",", dtype=np.int64
    )
    ink = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return tuple(
        Digit(digest=hashlib.sha256(pixels.tobytes()).hexdigest(), label=int(label), pixels=pixels)
        for pixels, label in zip(ink, table[:, 64], strict=True)
    )


def _load_photographs() -> tuple[Photograph, ...]:
    found = []
    for package, path in _PHOTOGRAPHS:
        data = _read(_package_folder(package) / path)
        image = decode_image(data)
        scale = _PHOTOGRAPH_SIDE / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        found.append(Photograph(digest=sha256_hex(data), name=Path(path).stem, pixels=pixels))
    return tuple(found)


def _load_paragraphs() -> tuple[Paragraph, ...]:
    folder = _package_folder("sklearn") / "datasets" / "descr"
    seen: dict[str, Paragraph] = {}
    for path in sorted(folder.glob("*.rst")):
        for text in _prose(path.read_text(encoding="utf-8")):
            digest = sha256_hex(text.encode())
            seen.setdefault(digest, Paragraph(digest=digest, text=text))
    return tuple(seen.values())


def _prose(document: str) -> list[str]:
    """Paragraphs of running text: markup lines, tables and references are left out; long ones are cut at sentences."""
    shortest, longest = _PARAGRAPH_CHARACTERS
    pieces: list[str] = []
    for block in re.split(r"\n\s*\n", document):
        text = re.sub(r"\s+", " ", block).strip()
        letters = sum(c.isalpha() or c == " " for c in text)
        if letters < 0.85 * len(text) or text.startswith((".. ", ":", ">>>", "|", "=")):
            continue
        pieces.extend(_cut_at_sentences(text, longest))
    return [p for p in pieces if len(p) >= shortest]


def _cut_at_sentences(text: str, longest: int) -> list[str]:
    pieces, current = [], ""
    for sentence in re.split(r"(?<=[.!?]) ", text):
        if current and len(current) + len(sentence) > longest:
            pieces.append(current)
            current = ""
        current = f"{current} {sentence}".strip()
    return [*pieces, current]


def _package_folder(name: str) -> Path:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"package {name!r} is not installed; its images are sources of the tiny data: run `make setup`"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"missing file {path}; install the package versions of the lock file (`make setup`)")
    return path.read_bytes()
