"""How a sample becomes one sequence: chat layout, visual placeholders, supervised mask, positions and patches.

Shapes: T tokens, N media, P patches, C values per patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.errors import CorruptDataError
from mimo_vl.processing.images import MERGE_SIDE, PATCH_SIDE, image_frames, patchify, smart_resize
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.processing.positions import mrope_positions
from mimo_vl.processing.tokenizer import Tokenizer
from mimo_vl.processing.videos import VideoPlan, plan_video, read_frames
from mimo_vl.schema.sample import MediaRef, Message, Sample, TextPart

TEXT, IMAGE, VIDEO = 0, 1, 2
# Values per patch: 3 channels x 2 frames x 14 x 14 pixels.
_PATCH_VALUES = 3 * 2 * PATCH_SIDE * PATCH_SIDE


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """A sample without pixels: tokens, mask, types, and per medium its grid and seconds per grid step (images: 0)."""

    ids: list[int] = field(default_factory=list)
    supervised: list[bool] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    grids: list[tuple[int, int, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    media_order: list[int] = field(default_factory=list)

    def add(self, ids: Sequence[int], *, supervised: bool = False, mm_type: int = TEXT) -> None:
        self.ids.extend(ids)
        self.supervised.extend([supervised] * len(ids))
        self.types.extend([mm_type] * len(ids))

    @property
    def num_patches(self) -> int:
        return sum(t * h * w for t, h, w in self.grids)


class SampleEncoder:
    """Text of assistants (with the end of their turn) and of documents (with the end of text) is supervised."""

    def __init__(self, tokenizer: Tokenizer, config: ProcessingConfig) -> None:
        self.tokenizer = tokenizer
        self.config = config

    def encode(self, sample: Sample, media: Sequence[bytes]) -> EncodedSample:
        """Raises CorruptDataError, naming the sample, where a medium cannot be read or differs from its record."""
        return self._materialise(sample, media, self._lay_out(sample))

    def encode_prompt(self, sample: Sample, media: Sequence[bytes]) -> EncodedSample:
        """The sample followed by the start of an assistant turn; nothing is supervised."""
        layout = self._lay_out(sample)
        special = self.tokenizer.special_ids
        layout.add([special.turn_start, *self.tokenizer.encode("assistant\n")])
        encoded = self._materialise(sample, media, layout)
        return replace(encoded, supervised_T=np.zeros_like(encoded.supervised_T))

    def encode_completion(self, prompt: EncodedSample, token_ids: Sequence[int]) -> EncodedSample:
        """Prompt and answer as one sequence; only the answer is supervised. `token_ids` include the end of turn."""
        count = len(token_ids)
        next_position = int(prompt.positions_3T.max()) + 1
        tail = np.broadcast_to(np.arange(next_position, next_position + count, dtype=np.int64), (3, count))
        return replace(
            prompt,
            input_ids_T=np.concatenate([prompt.input_ids_T, np.asarray(token_ids, dtype=np.int64)]),
            supervised_T=np.concatenate([np.zeros_like(prompt.supervised_T), np.ones(count, dtype=np.bool_)]),
            mm_types_T=np.concatenate([prompt.mm_types_T, np.zeros(count, dtype=np.int64)]),
            positions_3T=np.concatenate([prompt.positions_3T, tail], axis=1),
        )

    def measure(self, sample: Sample) -> tuple[int, int]:
        """(tokens, patches) of `encode`, without pixels."""
        layout = self._lay_out(sample)
        return len(layout.ids), layout.num_patches

    def resized_size(self, media: MediaRef) -> tuple[int, int]:
        """(width, height) of the image or of each frame as the model sees it: boxes are in these pixels."""
        if media.kind == "video":
            plan = self._plan(media)
            return plan.width, plan.height
        height, width = self._image_size(media)
        return width, height

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text without special tokens."""
        return self.tokenizer.decode(token_ids)

    def _lay_out(self, sample: Sample) -> _Layout:
        layout = _Layout()
        messages = sample.messages
        if self.config.system_prompt and messages[0].role not in ("system", "document"):
            system = Message(role="system", parts=(TextPart(text=self.config.system_prompt),))
            messages = (system, *messages)
        for message in messages:
            self._add_message(layout, sample, message)
        layout.supervised[0] = False
        return layout

    def _add_message(self, layout: _Layout, sample: Sample, message: Message) -> None:
        special = self.tokenizer.special_ids
        is_document = message.role == "document"
        is_target = is_document or message.role == "assistant"
        if not is_document:
            layout.add([special.turn_start, *self.tokenizer.encode(f"{message.role}\n")])
        text = ""
        for part in message.parts:
            if isinstance(part, TextPart):
                text += part.text
                continue
            layout.add(self.tokenizer.encode(text), supervised=is_target)
            text = ""
            self._add_media(layout, sample, part.index)
        layout.add(self.tokenizer.encode(text), supervised=is_target)
        layout.add([special.end_of_text if is_document else special.turn_end], supervised=is_target)
        if not is_document:
            layout.add(self.tokenizer.encode("\n"))

    def _add_media(self, layout: _Layout, sample: Sample, index: int) -> None:
        media, special = sample.media[index], self.tokenizer.special_ids
        if media.kind == "video":
            plan = self._plan(media)
            grid, pad, seconds, mm_type = plan.grid, special.video_pad, plan.seconds_per_grid, VIDEO
        else:
            height, width = self._image_size(media)
            grid, pad, seconds, mm_type = (1, height // PATCH_SIDE, width // PATCH_SIDE), special.image_pad, 0.0, IMAGE
        layout.add([special.vision_start])
        layout.add([pad] * (grid[0] * grid[1] * grid[2] // MERGE_SIDE**2), mm_type=mm_type)
        layout.add([special.vision_end])
        layout.grids.append(grid)
        layout.seconds.append(seconds)
        layout.media_order.append(index)

    def _materialise(self, sample: Sample, media: Sequence[bytes], layout: _Layout) -> EncodedSample:
        if len(media) != len(sample.media):
            raise CorruptDataError(f"sample {sample.id}: {len(media)} media files for {len(sample.media)} records")
        patches = []
        for index, grid in zip(layout.media_order, layout.grids, strict=True):
            found_PC, found_grid = self._patches(sample, index, media[index])
            if found_grid != grid:
                raise CorruptDataError(
                    f"sample {sample.id}: medium {index} gives a grid of {found_grid} patches, its record {grid}; "
                    "width, height or number of frames in the record are wrong: write the dataset again"
                )
            patches.append(found_PC)
        ids_T = np.asarray(layout.ids, dtype=np.int64)
        types_T = np.asarray(layout.types, dtype=np.int64)
        grid_thw_N3 = np.asarray(layout.grids, dtype=np.int64).reshape(-1, 3)
        return EncodedSample(
            id=sample.id,
            data_type=sample.data_type.value,
            input_ids_T=ids_T,
            supervised_T=np.asarray(layout.supervised, dtype=np.bool_),
            mm_types_T=types_T,
            positions_3T=mrope_positions(types_T, grid_thw_N3, layout.seconds),
            patches_PC=np.concatenate(patches) if patches else np.zeros((0, _PATCH_VALUES), np.float32),
            grid_thw_N3=grid_thw_N3,
        )

    def _patches(self, sample: Sample, index: int, data: bytes) -> tuple[np.ndarray, tuple[int, int, int]]:
        ref = sample.media[index]
        try:
            if ref.kind == "video":
                return patchify(read_frames(data, self._plan(ref)))
            return patchify(image_frames(data, min_pixels=self.config.min_pixels, max_pixels=self.config.max_pixels))
        except CorruptDataError as error:
            raise CorruptDataError(f"sample {sample.id}, medium {index}: {error}") from error

    def _image_size(self, media: MediaRef) -> tuple[int, int]:
        return smart_resize(
            media.height, media.width, min_pixels=self.config.min_pixels, max_pixels=self.config.max_pixels
        )

    def _plan(self, media: MediaRef) -> VideoPlan:
        return plan_video(
            num_frames=media.num_frames,
            fps=media.fps or 0.0,
            height=media.height,
            width=media.width,
            config=self.config,
        )
