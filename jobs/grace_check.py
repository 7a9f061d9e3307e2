"""Do pods live on, after SIGTERM, for as long as their stage needs to save? For `mimo check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.training.plan_estimate import StagePlan, estimate
from mimo_vl.training.plan_morl import TRAINER, morl_plans
from mimo_vl.training.plan_saving import SAVE_BYTES_PER_S, saved_gib, saving_s, update_s
from operators.mimo_pipeline.builders.pod_groups import PodGroup
from operators.mimo_pipeline.builders.pod_settings import LAUNCHER_MARGIN_S

# Group that saves -> group whose pods must live as long: MORL's driver, in the head, waits for its trainers.
_WAITING = {TRAINER: "head"}


def grace_problems(config: PipelineConfig, groups: Mapping[str, Sequence[PodGroup]]) -> list[str]:
    """Of stages that train on GPUs; how long others take on their CPUs is not known.

    Args:
        groups: stage -> its groups of pods.
    """
    plans = [*estimate(config), *(p for p in morl_plans(config) if p.role == TRAINER)]
    return [problem for plan in plans for problem in _stage_problems(plan, groups.get(plan.stage, ()))]


def _stage_problems(plan: StagePlan, groups: Sequence[PodGroup]) -> list[str]:
    saving = [group for group in groups if group.gpus_per_pod and plan.role in ("", group.name)]
    if not saving:
        return []
    gpus_per_pod = saving[0].gpus_per_pod
    saved, wanted_s = saved_gib(plan, gpus_per_pod=gpus_per_pod), ceil(saving_s(plan, gpus_per_pod=gpus_per_pod))
    wanted_s += LAUNCHER_MARGIN_S
    waiting = [group for group in groups if group.name == _WAITING.get(plan.role)]
    return [
        f"{plan.stage}: terminationGracePeriodSeconds of {group.name} pods is {group.grace_s}, wanted at least "
        f"{wanted_s}: {update_s(plan):.0f} s of an update and {saved:.1f} GiB of a checkpoint per pod at "
        f"{SAVE_BYTES_PER_S // 2**20} MiB/s; raise it in the stage's pod or in workloads.pods"
        for group in (*saving, *waiting)
        if group.grace_s < wanted_s
    ]
