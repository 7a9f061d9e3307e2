"""How media become patches and tokens: limits that must be the same in data, training, RL and evaluation."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt

from mimo_vl.config.fields import config


@config
class ProcessingConfig:
    min_pixels: PositiveInt
    """Lower bound of the resized image's area (smart_resize)."""
    max_pixels: PositiveInt
    """Upper bound of the resized image's area; recorded with each sample, since boxes are in resized pixels."""
    video_fps: PositiveFloat = 2.0
    """Frames per second that are taken from a video."""
    video_max_frames: PositiveInt = 256
    """Longer videos are sampled more sparsely."""
    video_min_pixels: PositiveInt = 128 * 28 * 28
    """Smaller frames are enlarged to it."""
    video_max_pixels: PositiveInt = 768 * 28 * 28
    """Per frame."""
    video_total_tokens: PositiveInt = 16384
    """Hard limit of visual tokens per video."""
    system_prompt: str = ""
    """Empty in training, as MiMo-7B recommends."""

    def __post_init__(self) -> None:
        for low, high in (("min_pixels", "max_pixels"), ("video_min_pixels", "video_max_pixels")):
            least, most = getattr(self, low), getattr(self, high)
            if least > most:
                raise ValueError(f"{low} is {least}, more than {high} = {most}; raise one or lower the other")
