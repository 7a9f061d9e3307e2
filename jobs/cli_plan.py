"""`mimo plan`: what every stage would need, without a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from jobs.cli_output import Format, print_json
from mimo_vl.config.compose import compose
from mimo_vl.training.plan_estimate import PEAK_FLOPS, StagePlan, estimate
from mimo_vl.training.plan_morl import morl_plans

# All columns without folding.
_MIN_WIDTH = 162


def print_plan(profile: str, overrides: tuple[str, ...], output: Format = Format.TABLE) -> None:
    config = compose(profile, overrides)
    plans = [*estimate(config), *morl_plans(config)]
    if output == Format.JSON:
        print_json({"profile": profile, "stages": [asdict(plan) for plan in plans]})
        return
    console = Console(markup=False)
    wide = Console(width=max(console.width, _MIN_WIDTH), markup=False)
    wide.print(plan_table(profile, plans))
    total = sum(plan.gpu_hours for plan in plans)
    shares = " and ".join(sorted({f"{plan.mfu:.0%}" for plan in plans}))
    peak = f"{PEAK_FLOPS / 1e12:,.0f} TFLOP/s"
    wide.print(f"{total:,.0f} GPU-hours in all, at {shares} of {peak} (MFU)", highlight=False)
    wide.print(
        "memory = weights + gradients + optimizer + activations + cache of keys and values, in GiB per GPU",
        highlight=False,
    )
    for plan in plans:
        if plan.assumes:
            wide.print(f"{plan_name(plan)} assumes {plan.assumes}", highlight=False)


def plan_name(plan: StagePlan) -> str:
    return f"{plan.stage} {plan.role}".rstrip()


def plan_table(profile: str, plans: Sequence[StagePlan]) -> Table:
    table = Table(title=f"Plan for profile {profile}", title_justify="left", box=box.SIMPLE)
    table.add_column("stage", no_wrap=True)
    headings = ("GPUs", "ZeRO", "trained, M", "weights", "grads", "optim.", "activ.", "cache", "memory")
    for heading in (*headings, "tokens/step", "steps", "tokens, B", "GPU-hours"):
        table.add_column(heading, justify="right", no_wrap=True)
    for p in plans:
        parts = (p.weights_gib, p.gradients_gib, p.optimizer_gib, p.activations_gib, p.cache_gib)
        memory = (*parts, p.memory_gib)
        table.add_row(
            plan_name(p),
            f"{p.gpus:,}",
            str(p.zero_stage),
            f"{p.trainable_millions:,.1f}",
            *(f"{gib:,.1f}" for gib in memory),
            f"{p.tokens_per_step:,}",
            f"{p.steps:,}",
            f"{p.tokens_billions:,.1f}",
            f"{p.gpu_hours:,.0f}",
        )
    return table
