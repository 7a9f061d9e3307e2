"""How busy the GPUs of this node are, as the driver tells. Nothing where there is none or `nvidia-ml-py` is missing."""

from __future__ import annotations

import importlib
import logging
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
    for index in range(nvml.nvmlDeviceGetCount()):
        device, part = nvml.nvmlDeviceGetHandleByIndex(index), f"{node}/gpu-{index}"
        values[metrics.SYSTEM_GPU_PERCENT.of(part)] = float(nvml.nvmlDeviceGetUtilizationRates(device).gpu)
        values[metrics.SYSTEM_GPU_MEMORY_BYTES.of(part)] = float(nvml.nvmlDeviceGetMemoryInfo(device).used)
    return values


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
