"""Weight versions never mix and never skip; weights survive the way through an object store."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mimo_vl.errors import WeightVersionError
from mimo_vl.rl.weight_sync import weight_state, weight_update
from mimo_vl.rl.weight_version import require_next, require_version

from .builders import completion

pytestmark = pytest.mark.timeout(120)


def test_one_version_passes_and_a_mixture_is_refused() -> None:
    require_version([completion(version=2), completion(version=2)], 2)
    with pytest.raises(WeightVersionError, match=r"\[2, 3\], wanted 2"):
        require_version([completion(version=2), completion(version=3)], 2)


@pytest.mark.parametrize("version", [4, 6, 7])
def test_a_pushed_version_must_follow_the_last_one(version: int) -> None:
    if version == 6:
        require_next(5, version)
        return
    with pytest.raises(WeightVersionError, match="wanted 6"):
        require_next(5, version)


def test_weights_are_copied_on_both_ways() -> None:
    module = torch.nn.Linear(2, 1)
    update = weight_update(module, version=1)
    before = update.arrays["weight"].copy()
    with torch.no_grad():
        module.weight.add_(1.0)
    np.testing.assert_array_equal(update.arrays["weight"], before)
    for array in update.arrays.values():
        array.setflags(write=False)
    state = weight_state(update)
    state["weight"].add_(1.0)
    np.testing.assert_array_equal(update.arrays["weight"], before)
