"""Which towers compute their activations twice, once forward and once for backward?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from transformers import Qwen2_5_VLForConditionalGeneration


def recomputed_towers(model: Qwen2_5_VLForConditionalGeneration, loss_of: Callable[[], torch.Tensor]) -> set[str]:
    """Forwards and backwards `loss_of()`; the first block of each tower is watched.

    What comes before its MLP counts: recomputing stops as soon as backward has what it needs.
    """
    counts: Counter[str] = Counter()
    towers = {"language": model.model.language_model.layers[0].mlp, "vision": model.model.visual.blocks[0].mlp}
    handles = [
        mlp.register_forward_pre_hook(lambda *_, name=name: counts.update([name])) for name, mlp in towers.items()
    ]
    loss_of().backward()
    for handle in handles:
        handle.remove()
    assert set(counts) == set(towers)
    return {name for name, count in counts.items() if count == 2}
