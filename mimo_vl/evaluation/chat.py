"""One question about an image, or none, to a model: the raw completion."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from mimo_vl.data.record import sha256_hex
from mimo_vl.errors import InputError
from mimo_vl.evaluation.infer import ModelUnderTest
from mimo_vl.schema.rollout import SamplingParams
from mimo_vl.schema.sample import MediaPart, MediaRef, Message, Part, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, Split


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A model, what it looks at, and how it answers. Each prompt stands alone, as in training."""

    model: ModelUnderTest
    params: SamplingParams
    image: bytes | None = None

    def answer(self, prompt: str) -> str:
        """Thinking included. Raises InputError if the image cannot be read."""
        parts: tuple[Part, ...] = (TextPart(text=prompt),)
        media: tuple[bytes, ...] = ()
        refs: tuple[MediaRef, ...] = ()
        if self.image is not None:
            parts, media, refs = (MediaPart(index=0), *parts), (self.image,), (_media_ref(self.image),)
        sample = Sample(
            id="chat",
            data_type=DataType.INSTRUCTION,
            language=Language.EN,
            split=Split.HELDOUT,
            messages=(Message(role="user", parts=parts),),
            media=refs,
        )
        encoded = self.model.encoder.encode_prompt(sample, media)
        return self.model.generator.generate([encoded], self.params)[0][0].text

    def converse(self, prompts: Iterable[str], write: Callable[[str], object]) -> None:
        """An answer per line; an empty line ends it."""
        for line in prompts:
            if not line.strip():
                return
            write(self.answer(line.strip()) + "\n")


def _media_ref(image: bytes) -> MediaRef:
    try:
        with Image.open(io.BytesIO(image)) as opened:
            width, height = opened.size
    except UnidentifiedImageError as error:
        raise InputError(f"--image: {len(image)} bytes that are no image; give a PNG or JPEG file") from error
    return MediaRef(sha256=sha256_hex(image), kind="image", width=width, height=height)
