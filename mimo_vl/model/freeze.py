"""Which parameters train in a stage, at which rate, and which towers recompute their activations?

The projector is `model.visual.merger`, inside the vision tower of the class, but a component of its own in the report.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypedDict

import torch

from mimo_vl.config.training import Component
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration

_PREFIXES = (  # first match wins
    ("model.visual.merger.", Component.PROJECTOR),
    ("model.visual.", Component.VISION),
    ("model.language_model.", Component.LANGUAGE),
    ("lm_head.", Component.LANGUAGE),
)


class ParameterGroup(TypedDict):
    """An optimizer group. `name` is `<component>` or `<component>-no-decay`."""

    name: str
    params: list[torch.nn.Parameter]
    lr: float
    weight_decay: float


def component_of(parameter_name: str) -> Component:
    """Component of a parameter named as in `named_parameters()` of the assembled model."""
    for prefix, component in _PREFIXES:
        if parameter_name.startswith(prefix):
            return component
    raise ValueError(
        f"parameter {parameter_name!r} belongs to no component; known prefixes {[p for p, _ in _PREFIXES]}"
    )


def apply_freeze_plan(
    model: Qwen2_5_VLForConditionalGeneration, trainable: Collection[Component]
) -> dict[Component, int]:
    """Let exactly `trainable` train. Returns the number of trainable parameters per component (tied ones once)."""
    counts = dict.fromkeys(Component, 0)
    for name, parameter in model.named_parameters():
        component = component_of(name)
        parameter.requires_grad_(component in trainable)
        if parameter.requires_grad:
            counts[component] += parameter.numel()
    return counts


def parameter_groups(
    model: Qwen2_5_VLForConditionalGeneration, lr: Mapping[Component, float], *, weight_decay: float
) -> list[ParameterGroup]:
    """Groups of the trainable parameters: a rate per component, no weight decay on norms and biases."""
    groups: list[ParameterGroup] = []
    named = [(component_of(name), p) for name, p in model.named_parameters() if p.requires_grad]
    for component in Component:
        for suffix, is_matrix, decay in (("", True, weight_decay), ("-no-decay", False, 0.0)):
            params = [p for owner, p in named if owner is component and (_num_dims(p) >= 2) == is_matrix]
            if params:
                groups.append(
                    {"name": f"{component}{suffix}", "params": params, "lr": lr[component], "weight_decay": decay}
                )
    return groups


def enable_checkpointing(model: Qwen2_5_VLForConditionalGeneration, *, vision: bool, language: bool) -> None:
    """Recompute activations per block in backward, per tower. Works while the model is in training mode."""
    for tower, is_enabled in ((model.model.visual, vision), (model.model.language_model, language)):
        if is_enabled:
            tower.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            tower.gradient_checkpointing_disable()


def _num_dims(parameter: torch.nn.Parameter) -> int:
    # A parameter that ZeRO-3 has partitioned is a flat shard; its full shape is kept beside it.
    shape = getattr(parameter, "ds_shape", parameter.shape)
    return len(shape)
