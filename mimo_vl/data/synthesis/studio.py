"""How sources become pictures: cells, backgrounds, ink. All geometry is in pixels of the stored image.

A digit fills a cell of 28 x 28 px, the size of one visual token, or a larger square. Backgrounds are plain colours or
darkened crops of photographs, the ink is light: contrast is always high, what varies is the handwriting. Sizes of
pictures are multiples of 28 within the pixel limits, so the model sees them unresized and boxes hold in both worlds.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from mimo_vl.data.sources import Digit, Pixels, Sources
from mimo_vl.data.split import split_of_text
from mimo_vl.processing.videos import write_video
from mimo_vl.schema.sample import MediaRef
from mimo_vl.vocabulary import Split

CELL = 28
Box = tuple[int, int, int, int]
Rng = np.random.Generator

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (16, 16, 16),
    "red": (160, 24, 24),
    "green": (16, 112, 40),
    "blue": (24, 48, 168),
    "purple": (120, 24, 136),
}
_INKS = ((255, 255, 255), (255, 240, 120), (150, 240, 255))
# Photographs are darkened to this share of their brightness, so that light ink stands out.
_PHOTO_BRIGHTNESS = 0.45
# Level 1: three times faster than the default, files a tenth larger.
_PNG_LEVEL = 1


@dataclass(frozen=True)
class Medium:
    data: bytes
    ref: MediaRef


@dataclass
class Canvas:
    """pixels: [H, W, 3] float32. `source_ids`: digests of everything drawn so far."""

    pixels: npt.NDArray[np.float32]
    source_ids: list[str]

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def as_pixels(self) -> Pixels:
        return np.clip(np.rint(self.pixels), 0, 255).astype(np.uint8)

    def as_image(self) -> Medium:
        buffer = io.BytesIO()
        Image.fromarray(self.as_pixels()).save(buffer, "PNG", compress_level=_PNG_LEVEL)
        data = buffer.getvalue()
        width, height = self.size
        digest = hashlib.sha256(data).hexdigest()
        return Medium(data, MediaRef(sha256=digest, kind="image", width=width, height=height))


def as_video(frames: Sequence[Pixels], *, fps: int) -> Medium:
    data = write_video(frames, fps=fps)
    height, width, _ = frames[0].shape
    ref = MediaRef(
        sha256=hashlib.sha256(data).hexdigest(),
        kind="video",
        width=width,
        height=height,
        num_frames=len(frames),
        fps=float(fps),
    )
    return Medium(data, ref)


class Studio:
    """Draws with the sources of one split only. Pure: all chance comes from the generator that is passed in."""

    def __init__(self, sources: Sources, *, split: Split, seed: int, heldout_fraction: float) -> None:
        self.sources, self.split = sources, split
        self._seed, self._heldout_fraction = seed, heldout_fraction
        self._by_label = [[d for d in sources.digits if d.label == label] for label in range(10)]
        self._stamps: dict[tuple[str, int], npt.NDArray[np.float32]] = {}

    def owns_text(self, text: str) -> bool:
        """Whether a problem made of text alone belongs to this split."""
        return split_of_text(text, seed=self._seed, heldout_fraction=self._heldout_fraction) is self.split

    def digit(self, rng: Rng, label: int | None = None) -> Digit:
        """Labels are uniform, then one handwriting of that label."""
        value = int(rng.integers(10)) if label is None else label
        candidates = self._by_label[value]
        return candidates[int(rng.integers(len(candidates)))]

    def digits(self, rng: Rng, count: int, *, distinct: bool = False) -> list[Digit]:
        labels = rng.choice(10, size=count, replace=not distinct)
        return [self.digit(rng, int(label)) for label in labels]

    def plain(self, rng: Rng, width: int, height: int) -> tuple[Canvas, str]:
        """A background of one colour, and the colour's name."""
        name = list(COLOURS)[int(rng.integers(len(COLOURS)))]
        return Canvas(np.full((height, width, 3), COLOURS[name], dtype=np.float32), []), name

    def photograph(self, rng: Rng, width: int, height: int) -> Canvas:
        """A darkened crop."""
        photo = self.sources.photographs[int(rng.integers(len(self.sources.photographs)))]
        y = int(rng.integers(photo.pixels.shape[0] - height + 1))
        x = int(rng.integers(photo.pixels.shape[1] - width + 1))
        crop = photo.pixels[y : y + height, x : x + width].astype(np.float32) * _PHOTO_BRIGHTNESS
        return Canvas(crop, [photo.digest])

    def background(self, rng: Rng, width: int, height: int, *, photo_share: float = 0.3) -> tuple[Canvas, str]:
        """Plain or photograph; the name is then `photo`."""
        if rng.random() < photo_share:
            return self.photograph(rng, width, height), "photo"
        return self.plain(rng, width, height)

    def write(self, canvas: Canvas, rng: Rng, digit: Digit, box: Box, *, jitter: int = 0) -> None:
        """Blend one digit into a square box, moved by up to `jitter` px within the canvas."""
        side = box[2] - box[0]
        width, height = canvas.size
        x = min(max(box[0] + _offset(rng, jitter), 0), width - side)
        y = min(max(box[1] + _offset(rng, jitter), 0), height - side)
        alpha = self._stamp(digit, side)
        ink = np.asarray(_INKS[int(rng.integers(len(_INKS)))], dtype=np.float32)
        area = canvas.pixels[y : y + side, x : x + side]
        area += (alpha[..., None] * (ink - area)).astype(np.float32)
        canvas.source_ids.append(digit.digest)

    def _stamp(self, digit: Digit, side: int) -> npt.NDArray[np.float32]:
        """[side, side] ink in 0..1."""
        key = (digit.digest, side)
        if key not in self._stamps:
            grown = Image.fromarray(digit.pixels).resize((side, side), Image.Resampling.BICUBIC)
            self._stamps[key] = (np.asarray(grown, dtype=np.float32) / 255).astype(np.float32)
        return self._stamps[key]


def _offset(rng: Rng, jitter: int) -> int:
    return int(rng.integers(-jitter, jitter + 1)) if jitter else 0
