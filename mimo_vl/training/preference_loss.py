"""Bradley-Terry: how much more likely should the chosen answer be? (report 3.2; Ouyang et al. 2022, equation 1)

loss = -log sigmoid(r_chosen - r_rejected) + penalty * (r_chosen + r_rejected)^2; the penalty keeps scores near 0, where
the sigmoid that maps a single score to [0, 1] has its slope. No margin, no ties (they are dropped in curation).
"""

# Shapes: K pairs
from __future__ import annotations

import torch
from torch.nn import functional


def bradley_terry_losses(chosen_K: torch.Tensor, rejected_K: torch.Tensor, *, center_penalty: float) -> torch.Tensor:
    """Loss [K] per pair in nats, from raw scores."""
    preference_K = -functional.logsigmoid(chosen_K - rejected_K)
    return preference_K + center_penalty * (chosen_K + rejected_K).square()
