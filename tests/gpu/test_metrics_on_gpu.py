"""What the two panels need that are empty on CPUs: a training process on a GPU shows its use and its MFU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import urllib3

from mimo_vl.free_port import free_port
from mimo_vl.observability import metrics as names
from tests.integration.observability.exporters import start_training, stop, wait_until
from tests.integration.observability.panels import EMPTY_ON_CPUS, all_panels

pytestmark = [pytest.mark.gpu, pytest.mark.integration, pytest.mark.timeout(300)]

_DEADLINE_S = 240.0
# Panel -> the metric that its query asks for.
_METRICS = {
    "mimo-overview: Mean use of the GPUs": names.SYSTEM_GPU_PERCENT,
    "mimo-training: Model FLOPs utilisation": names.MFU,
}


def _values(text: str, metric: names.Metric) -> list[float]:
    found = re.findall(rf'^{metric.prometheus_name}{{[^}}]*stage="projector-warmup"[^}}]*}} (\S+)$', text, flags=re.M)
    return [float(value) for value in found]


def test_a_training_process_fills_the_panels_that_are_empty_on_cpus(tmp_path: Path) -> None:
    from mimo_vl.training.build import peak_flops_of

    name = torch.cuda.get_device_name()
    if peak_flops_of(name) is None:
        pytest.skip(f"the peak of {name} is not known")
    assert set(EMPTY_ON_CPUS) == set(_METRICS)
    port = free_port()
    process = start_training(tmp_path, port, accelerator="cuda")
    seen = {"text": ""}

    def is_filled() -> bool:
        assert process.poll() is None, (tmp_path / "train.log").read_text(encoding="utf-8")
        try:
            answer = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", timeout=10.0, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        seen["text"] = answer.data.decode()
        return all(_values(seen["text"], metric) for metric in _METRICS.values())

    try:
        wait_until(is_filled, _DEADLINE_S, lambda: (tmp_path / "train.log").read_text(encoding="utf-8"))
    finally:
        stop(process)
    for panel, metric in _METRICS.items():
        assert all(metric.prometheus_name in target["expr"] for target in all_panels()[panel]["targets"])
    assert 0 < _values(seen["text"], names.MFU)[0] < 1
    assert all(0 <= percent <= 100 for percent in _values(seen["text"], names.SYSTEM_GPU_PERCENT))
