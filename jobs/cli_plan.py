"""`mimo plan`: what every stage would need, without a GPU."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mimo_vl.config.compose import compose


def print_plan(profile: str, overrides: tuple[str, ...]) -> None:
    config = compose(profile, overrides)
    # Estimating needs the sizes of the model, not torch.
    import dataclasses

    from mimo_vl.training.plan_estimate import estimate

    plans = estimate(config)
    table = Table(title=f"Plan for profile {profile}", title_justify="left")
    names = [f.name for f in dataclasses.fields(plans[0])]
    for name in names:
        table.add_column(name.replace("_", " "), justify="left" if name in ("stage", "name") else "right")
    for plan in plans:
        table.add_row(*(_cell(getattr(plan, name)) for name in names))
    Console().print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
