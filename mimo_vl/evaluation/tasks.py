"""The tiny suite: which families are evaluated, on which dataset, with which scorer and headline metric."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.errors import ConfigError
from mimo_vl.evaluation.task import Method, TaskSpec
from mimo_vl.vocabulary import DataType, RewardTask, RlFamily


def _verifiable(family: RlFamily, scorer: str, metric: str) -> TaskSpec:
    return TaskSpec(
        id=f"tiny/{family}", family=family, dataset=f"eval-{family}", scorer=scorer, metric=metric, is_verifiable=True
    )


def _other(data_type: DataType, scorer: str, metric: str, method: Method = Method.GENERATE) -> TaskSpec:
    return TaskSpec(
        id=f"tiny/{data_type}",
        family=data_type,
        dataset=f"eval-{data_type}",
        scorer=scorer,
        metric=metric,
        method=method,
    )


TINY_SUITE: tuple[TaskSpec, ...] = (
    _verifiable(RlFamily.VISUAL_REASONING, "math_answer", "answers correct"),
    _verifiable(RlFamily.TEXT_REASONING, "math_answer", "answers correct"),
    _verifiable(RlFamily.GROUNDING, "grounding_box", "(1 + GIoU) / 2 of boxes, points in box"),
    _verifiable(RlFamily.COUNTING, "count_exact", "counts correct"),
    _verifiable(RlFamily.TEMPORAL_GROUNDING, "temporal_iou", "temporal IoU"),
    _other(DataType.CAPTION, "token_f1", "token F1"),
    _other(DataType.INTERLEAVED, "token_f1", "token F1"),
    _other(DataType.OCR, "per_digit", "digits correct"),
    _other(DataType.QA, "exact_text", "answers correct"),
    _other(DataType.VIDEO, "exact_text", "answers correct"),
    _other(DataType.GUI, "gui_step", "steps correct"),
    _other(DataType.INSTRUCTION, "exact_text", "answers correct"),
    _other(DataType.TEXT, "likelihood", "exp(-nats per token)", Method.LIKELIHOOD),
)
# Beside the suite, where a run has own data and a verifier for them.
CUSTOM_TASK = TaskSpec(
    id="custom",
    family=RlFamily.CUSTOM,
    dataset=f"eval-{RlFamily.CUSTOM}",
    scorer=RewardTask.CUSTOM,
    metric="reward of the own verifier",
    is_verifiable=True,
)


def own_tasks(rewards: RewardsConfig, datasets: Path) -> tuple[TaskSpec, ...]:
    """CUSTOM_TASK if the curated datasets have items for it and the configuration a verifier."""
    folder = datasets / CUSTOM_TASK.dataset
    has_items = folder.is_dir() and len(IndexedDataset(folder)) > 0
    return (CUSTOM_TASK,) if rewards.custom_verifier and has_items else ()


def task_by_id(task_id: str, own: Sequence[TaskSpec] = ()) -> TaskSpec:
    """Raises ConfigError naming the nearest tasks."""
    known = {task.id: task for task in (*TINY_SUITE, *own)}
    if task_id not in known:
        near = difflib.get_close_matches(task_id, known, n=3)
        raise ConfigError(f"evaluation task {task_id!r} is unknown; nearest: {', '.join(near) or ', '.join(known)}")
    return known[task_id]
