"""How busy the GPUs of this node are, as the driver tells. What it does not tell is left out, and harms nobody."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from mimo_vl.observability import metrics

logger = logging.getLogger(__name__)


def sample_gpus(node: str) -> dict[str, float]:
    """By `<metric>/<node>/gpu-<index>`."""
    nvml = _nvml()
    if nvml is None:
        return {}
    values: dict[str, float] = {}
    for index in range(_told(nvml, nvml.nvmlDeviceGetCount) or 0):
        device, part = _told(nvml, nvml.nvmlDeviceGetHandleByIndex, index), f"{node}/gpu-{index}"
        if device is None:
            continue
        if rates := _told(nvml, nvml.nvmlDeviceGetUtilizationRates, device):
            values[metrics.SYSTEM_GPU_PERCENT.of(part)] = float(rates.gpu)
        if memory := _told(nvml, nvml.nvmlDeviceGetMemoryInfo, device):
            values[metrics.SYSTEM_GPU_MEMORY_BYTES.of(part)] = float(memory.used)
    return values


def _told(nvml: Any, ask: Callable[..., Any], *of: Any) -> Any:
    """None where the driver refuses: a lost GPU, or one that is cut into instances and does not tell its use."""
    try:
        return ask(*of)
    except nvml.NVMLError as error:
        logger.debug("a GPU metric is not known: %s", error)
        return None


@cache
def _nvml() -> Any:
    """The initialised library; None without it, without a driver, or without a GPU."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        logger.debug("no GPU metrics: %s", error)
        return None
    return nvml
