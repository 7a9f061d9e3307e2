"""How a video becomes frames: which frames are taken, at which size, and how they are read and written (PyAV).

Rules of Qwen2.5-VL (report 2.11): about 2 frames per second, an even number of at least 4, first and last included.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.errors import CorruptDataError
from mimo_vl.processing.images import FACTOR, TEMPORAL_PATCH, Frames, resize, smart_resize

_MIN_FRAMES = 4
# ffmpeg's flag "write nothing that depends on time or version" (AV_CODEC_FLAG_BITEXACT).
_BITEXACT = 1 << 23


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """Which stored frames the model sees, and at which size. `seconds_per_grid`: time between two visual time steps."""

    indices: tuple[int, ...]
    height: int
    width: int
    seconds_per_grid: float

    @property
    def grid(self) -> tuple[int, int, int]:
        return len(self.indices) // TEMPORAL_PATCH, self.height // 14, self.width // 14


def plan_video(*, num_frames: int, fps: float, height: int, width: int, config: ProcessingConfig) -> VideoPlan:
    """Decide from the numbers alone; `video_total_tokens` is a hard limit (Qwen's own rule can exceed it by 5 %).

    Raises:
        ValueError: fewer than 2 frames, no positive frame rate, or frames too thin for the limit.
    """
    if num_frames < TEMPORAL_PATCH or not fps > 0:
        raise ValueError(
            f"video has {num_frames} frames at {fps} fps; wanted at least {TEMPORAL_PATCH} frames and fps > 0"
        )
    count = _num_sampled(num_frames, fps, config)
    new_height, new_width = _frame_size(count, height, width, config)
    # Thin frames cannot shrink enough, since no side goes below 28: they give up frames instead.
    while count // TEMPORAL_PATCH * new_height * new_width > config.video_total_tokens * FACTOR * FACTOR:
        count -= TEMPORAL_PATCH
        if count < TEMPORAL_PATCH:
            raise ValueError(f"frames of {width}x{height} px exceed {config.video_total_tokens} tokens; crop the video")
        new_height, new_width = _frame_size(count, height, width, config)
    indices = tuple(int(i) for i in np.round(np.linspace(0, num_frames - 1, count)))
    effective_fps = count / num_frames * fps
    return VideoPlan(
        indices=indices, height=new_height, width=new_width, seconds_per_grid=TEMPORAL_PATCH / effective_fps
    )


def read_frames(data: bytes, plan: VideoPlan) -> Frames:
    """Decode the planned frames, resized: frames_FHWC.

    Raises:
        CorruptDataError: no video, or it ends before the last planned frame.
    """
    wanted = set(plan.indices)
    found: dict[int, Frames] = {}
    try:
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for index, frame in enumerate(container.decode(stream)):
                if index in wanted:
                    found[index] = _resized(frame.to_ndarray(format="rgb24"), plan)
                if index >= plan.indices[-1]:
                    break
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise CorruptDataError(f"corrupt video of {len(data)} bytes: {error}; replace or drop the file") from error
    if len(found) < len(wanted):
        raise CorruptDataError(f"video has {len(found)} of the {len(wanted)} planned frames; the file is truncated")
    return np.stack([found[i] for i in plan.indices])


def _resized(frame_HWC: Frames, plan: VideoPlan) -> Frames:
    if frame_HWC.shape[:2] == (plan.height, plan.width):
        return frame_HWC
    return np.asarray(resize(Image.fromarray(frame_HWC), plan.height, plan.width))


def count_frames(data: bytes) -> int:
    """Decode everything and count.

    Raises:
        CorruptDataError: the bytes are no video, or break off.
    """
    try:
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            return sum(1 for _ in container.decode(stream))
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise CorruptDataError(f"corrupt video of {len(data)} bytes: {error}; replace or drop the file") from error


def write_video(frames: Sequence[Frames], *, fps: int) -> bytes:
    """Lossless (PNG frames in MP4), and the same frames give the same bytes."""
    height, width, _ = frames[0].shape
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("png", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= _BITEXACT
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()


def _num_sampled(num_frames: int, fps: float, config: ProcessingConfig) -> int:
    limit = min(config.video_max_frames, num_frames)
    wanted = min(max(num_frames / fps * config.video_fps, _MIN_FRAMES), limit)
    return max(TEMPORAL_PATCH, math.floor(wanted) // TEMPORAL_PATCH * TEMPORAL_PATCH)


def _frame_size(count: int, height: int, width: int, config: ProcessingConfig) -> tuple[int, int]:
    share = TEMPORAL_PATCH * config.video_total_tokens * FACTOR * FACTOR // count
    max_pixels = max(min(config.video_max_pixels, share), FACTOR * FACTOR)
    min_pixels = min(config.video_min_pixels, max_pixels)
    return smart_resize(height, width, min_pixels=min_pixels, max_pixels=max_pixels)
