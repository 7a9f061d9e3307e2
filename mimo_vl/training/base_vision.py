"""How is the tiny vision tower pretrained? By naming the digit in every cell of a picture (stands for Qwen2.5-ViT)."""

# Shapes: K cells, D tower width, P patches
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from mimo_vl.config.model import ModelConfig
from mimo_vl.config.training import BaseStageConfig, ScheduleConfig
from mimo_vl.data.pipelines.base import NUM_CELL_CLASSES, digit_cells
from mimo_vl.data.synthesis.studio import Studio
from mimo_vl.model.assemble import fresh_vision_tower
from mimo_vl.model.attention import VISION_ATTENTION, register
from mimo_vl.model.checkpoint import save_vision_tower
from mimo_vl.model.vision_layout import vision_layout
from mimo_vl.training.non_finite import non_finite_error
from mimo_vl.training.schedule import lr_factor

_SCHEDULE = ScheduleConfig(kind="cosine", warmup_fraction=0.05, final_lr_ratio=0.05)
_WEIGHT_DECAY = 0.05
# Accuracy is averaged over this many last batches, each of new pictures.
_REPORT_BATCHES = 10

OnStep = Callable[[int, int, float], None]


class CellClassifier(nn.Module):
    """Tower, norm, four neighbouring patches side by side (as the projector sees them), one linear layer."""

    def __init__(self, model: ModelConfig, *, seed: int) -> None:
        super().__init__()
        self.tower = fresh_vision_tower(model, seed=seed)
        register()
        self.tower.config._attn_implementation = VISION_ATTENTION
        self._cell = model.vision.spatial_merge_size**2
        self.norm = nn.LayerNorm(model.vision.hidden_size)
        self.head = nn.Linear(self._cell * model.vision.hidden_size, NUM_CELL_CLASSES)

    def forward(self, patches_PC: torch.Tensor, grids: tuple[tuple[int, int, int], ...]) -> torch.Tensor:
        """Logits [K, classes]. Pictures are at most one attention window, so cells keep their order."""
        tower = self.tower
        layout = vision_layout(
            grids, merge_size=tower.spatial_merge_size, window_size=tower.window_size, patch_size=tower.patch_size
        )
        output = tower(patches_PC, grid_thw=torch.tensor(grids), **layout.kwargs())
        h_KD = self.norm(output.last_hidden_state).reshape(-1, self.head.in_features)
        logits: torch.Tensor = self.head(h_KD)
        return logits


def train_vision_tower(
    model: ModelConfig, config: BaseStageConfig, studio: Studio, folder: Path, *, seed: int, on_step: OnStep
) -> dict[str, float]:
    """Train on endless new pictures of the studio's split and write the tower to `folder`.

    Returns loss of the first and last steps and the accuracy per cell of the last ones (a picture is never repeated).

    Raises:
        NonFiniteLossError: before the weights change, naming the step and the pictures by their numbers in it.
    """
    torch.manual_seed(seed)
    classifier = CellClassifier(model, seed=seed)
    optimizer = torch.optim.AdamW(
        [p for name, p in classifier.named_parameters() if "merger" not in name],
        lr=config.vision_lr,
        weight_decay=_WEIGHT_DECAY,
        fused=True,
    )
    losses: list[float] = []
    accuracies: list[float] = []
    for step in range(config.vision_steps):
        batch = digit_cells(studio, seed=seed, step=step, batch_size=config.vision_batch_size)
        grids = tuple((int(t), int(h), int(w)) for t, h, w in batch.grid_thw_N3.tolist())
        labels_K = torch.from_numpy(batch.labels_K)
        logits_KC = classifier(torch.from_numpy(batch.patches_PC), grids)
        losses_K = functional.cross_entropy(logits_KC, labels_K, reduction="none")
        _require_finite(losses_K, config.vision_batch_size, step)
        loss = losses_K.mean()
        losses.append(loss.item())
        accuracies.append((logits_KC.argmax(1) == labels_K).float().mean().item())
        for group in optimizer.param_groups:
            group["lr"] = config.vision_lr * lr_factor(step, config.vision_steps, _SCHEDULE)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        optimizer.step()
        on_step(step + 1, config.vision_steps, losses[-1])
    save_vision_tower(classifier.tower, folder)
    last = accuracies[-_REPORT_BATCHES:]
    return {
        "vision_loss_first": losses[0],
        "vision_loss_last": sum(losses[-_REPORT_BATCHES:]) / len(last),
        "vision_cell_accuracy": sum(last) / len(last),
    }


def _require_finite(losses_K: torch.Tensor, num_pictures: int, step: int) -> None:
    is_finite = torch.isfinite(losses_K).reshape(num_pictures, -1).all(1).tolist()
    bad = [str(number) for number, is_good in enumerate(is_finite) if not is_good]
    if bad:
        raise non_finite_error("loss", step, bad, kind="pictures")
