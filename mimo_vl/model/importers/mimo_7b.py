"""What of a MiMo-7B checkpoint is the language model? Everything but its multi-token-prediction layers.

MiMo-7B is a Qwen2 decoder plus `model.mtp_layers.*`, used for speculative decoding; the Qwen2.5-VL class has none.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mimo_vl.model.importers.safetensors_folder import StateDict, read_safetensors

logger = logging.getLogger(__name__)

_MTP_PREFIX = "model.mtp_layers."


def read_mimo_7b(path: Path) -> StateDict:
    return without_mtp_layers(read_safetensors(path))


def without_mtp_layers(state: StateDict) -> StateDict:
    """Drop the MTP tensors and say so."""
    left_out = sorted(name for name in state if name.startswith(_MTP_PREFIX))
    if left_out:
        num_parameters = sum(state[name].numel() for name in left_out)
        num_layers = len({name.removeprefix(_MTP_PREFIX).split(".")[0] for name in left_out})
        logger.info("left out mtp_layers=%d tensors=%d parameters=%d", num_layers, len(left_out), num_parameters)
    return {name: tensor for name, tensor in state.items() if name not in set(left_out)}
