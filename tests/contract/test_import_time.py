"""Light modules stay light: a controller or a configuration check must not wait for torch.

Time is processor time: a busy machine does not make the code slower.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

import pytest

_LIMIT_S = 0.3
_HEAVY = ("torch", "transformers", "ray", "mlflow", "hydra", "deepspeed", "kopf", "kubernetes", "kubeflow")
_PROBE = """
import sys, time
began = time.process_time()
import {module}
took = time.process_time() - began
loaded = [name for name in {heavy!r} if name in sys.modules]
print(took, ",".join(loaded))
"""


@pytest.mark.integration
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "module",
    ["mimo_vl.config", "operators.mimo_pipeline", "operators.mimo_pipeline.reconcile", "operators.mimo_pipeline.api"],
)
def test_light_modules_import_fast_and_load_nothing_heavy(module) -> None:
    took_s, loaded = [], set[str]()
    for _ in range(5):
        code = _PROBE.format(module=module, heavy=_HEAVY)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds, names = done.stdout.strip("\n").split(" ")
        took_s.append(float(seconds))
        loaded |= set(filter(None, names.split(",")))
    assert loaded == set()
    assert statistics.median(took_s) < _LIMIT_S


@pytest.mark.integration
@pytest.mark.timeout(60)
def test_builders_load_no_client_of_kubernetes_until_a_pytorchjob_is_built() -> None:
    code = _PROBE.format(module="operators.mimo_pipeline.builders.rendered", heavy=_HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip("\n").split(" ")[1] == ""


@pytest.mark.integration
@pytest.mark.timeout(120)
def test_the_model_loads_none_of_what_transformers_could_use_of_others() -> None:
    """Whatever of transformers was there before; scipy can be had afterwards."""
    code = """
import sys
import mimo_vl.model.configure, mimo_vl.model.upstream
print([name for name in ("scipy", "sklearn") if name in sys.modules])
import scipy.optimize, sklearn.datasets
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
