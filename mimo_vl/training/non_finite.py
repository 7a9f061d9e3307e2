"""How training ends when a loss is NaN or infinite: with the step and what was in it, so that it can be found."""

from __future__ import annotations

from collections.abc import Sequence

from mimo_vl.errors import NonFiniteLossError

# An error line with thousands of ids helps nobody.
_MAX_IDS_SHOWN = 16


def non_finite_error(what: str, step: int, ids: Sequence[str], *, kind: str = "samples") -> NonFiniteLossError:
    """`what`: loss or gradient norm. `kind`: what the ids name."""
    shown = ", ".join(ids[:_MAX_IDS_SHOWN])
    more = f" and {len(ids) - _MAX_IDS_SHOWN} more" if len(ids) > _MAX_IDS_SHOWN else ""
    return NonFiniteLossError(
        f"step {step}: the {what} is not finite for {kind} {shown}{more}; a retry would meet it again: remove these "
        f"{kind} or lower the learning rate"
    )
