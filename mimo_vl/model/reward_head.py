"""How does a reward model give one score per sample of a packed row? A linear head on the last token's hidden state."""

# Shapes: S segments, T tokens, D model width
from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mimo_vl.errors import InputError
from mimo_vl.model.checkpoint import load_model, save_model
from mimo_vl.model.packed import RowTensors, packed_hidden_states
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration

_HEAD_FILE, _CONFIG_FILE = "reward_head.safetensors", "reward_config.json"


class RewardModel(nn.Module):
    """Trunk and scalar head. The trunk keeps its language head (unused, frozen unless tied), so it stays loadable."""

    def __init__(self, trunk: Qwen2_5_VLForConditionalGeneration) -> None:
        super().__init__()
        width = trunk.config.text_config.hidden_size
        self.trunk = trunk
        # Starts at zero: every answer scores 0, and pairs start at probability 1/2.
        self.head = nn.Linear(width, 1, bias=True, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        if not trunk.config.tie_word_embeddings:
            trunk.lm_head.requires_grad_(False)

    def forward(self, rows: RowTensors) -> torch.Tensor:
        """Scores [S], float32."""
        h_SD = packed_hidden_states(self.trunk, rows, rows.last_index_S)
        scores_S: torch.Tensor = self.head(h_SD.float())[:, 0]
        return scores_S

    def scores(self, rows: RowTensors) -> torch.Tensor:
        """The same through the module's call, so that hooks of a training engine run."""
        scores_S: torch.Tensor = self(rows)
        return scores_S


def save_reward_model(model: RewardModel, folder: Path, *, kind: str) -> None:
    """Write the trunk as a Hugging Face folder, the head and `reward_config.json` beside it."""
    save_model(model.trunk, folder)
    head = {f"head.{name}": tensor.detach().cpu().contiguous() for name, tensor in model.head.state_dict().items()}
    save_file(head, folder / _HEAD_FILE, metadata={"format": "pt"})
    values = {"version": 1, "kind": kind, "pooling": "last_token"}
    (folder / _CONFIG_FILE).write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")


def load_reward_model(folder: Path, *, dtype: torch.dtype | str = torch.float32) -> RewardModel:
    """Read what `save_reward_model` wrote; in evaluation mode.

    Raises:
        InputError: no reward head there, or one of another version.
    """
    if not (folder / _CONFIG_FILE).is_file():
        raise InputError(f"{folder}: no {_CONFIG_FILE}; wanted the output of a reward-model stage")
    values = json.loads((folder / _CONFIG_FILE).read_text(encoding="utf-8"))
    if values.get("version") != 1:
        raise InputError(f"{folder / _CONFIG_FILE}: version is {values.get('version')!r}, wanted 1")
    model = RewardModel(load_model(folder, dtype=dtype))
    head = load_file(folder / _HEAD_FILE)
    model.head.load_state_dict({name.removeprefix("head."): tensor for name, tensor in head.items()})
    return model.eval()
