"""How media become patches and tokens: limits that must be the same in data, training, RL and evaluation."""

from __future__ import annotations

from mimo_vl.config.fields import config


@config
class ProcessingConfig:
    min_pixels: int
    """Lower bound of the resized image's area (smart_resize)."""
    max_pixels: int
    """Upper bound of the resized image's area; recorded with each sample, since boxes are in resized pixels."""
    video_fps: float = 2.0
    """Frames per second that are taken from a video."""
    video_max_frames: int = 256
    """Longer videos are sampled more sparsely."""
    video_min_pixels: int = 128 * 28 * 28
    """Smaller frames are enlarged to it."""
    video_max_pixels: int = 768 * 28 * 28
    """Per frame."""
    video_total_tokens: int = 16384
    """Hard limit of visual tokens per video."""
    system_prompt: str = ""
    """Empty in training, as MiMo-7B recommends."""
