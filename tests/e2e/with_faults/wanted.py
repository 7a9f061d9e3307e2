"""What every window says of the first attempts of the stages that are hurt."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.e2e.with_faults.drive import CRASHED, LOST, FaultRun
from tests.e2e.with_faults.looks import Words


@dataclass(frozen=True)
class Wanted:
    state: str
    """In the report."""
    mlflow_status: str
    reason: str
    message: str
    """What the message begins with."""

    def check(self, words: Words) -> None:
        """The controller's own, which the other windows repeat."""
        assert words.reason == self.reason
        assert words.message.startswith(self.message)


_EVICTED = Wanted("Killed", "KILLED", "Evicted", "its pod was evicted")
WANTED = {
    LOST: _EVICTED,
    CRASHED: Wanted("Killed", "KILLED", "Killed", "rank 1 was ended by SIGABRT"),
    "morl": _EVICTED,
}


def skip_unless_hurt(run: FaultRun, stage: str) -> None:
    if stage == CRASHED and not run.cluster.is_development:
        pytest.skip(f"nothing hurt {stage}: only the development cluster's processes can be killed from here")
