"""How much is a Kubernetes quantity such as 500m, 1.5Gi or 2?"""

from __future__ import annotations

import re
from decimal import Decimal

_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTP", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", start=1)},
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)")


def amount(quantity: str) -> Decimal:
    """Cores, bytes or pieces. `quantity` has the pattern of `api.Quantity`."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None or match[2] not in _FACTORS:
        raise ValueError(f"quantity: got {quantity!r}, wanted a number with one of m k M G T P Ki Mi Gi Ti Pi")
    return Decimal(match[1]) * _FACTORS[match[2]]
