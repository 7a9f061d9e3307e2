"""How far a stage is by what its attempt writes into the store: the status tells it as much as ten seconds later.

What is to happen in the middle of a short stage waits for this, or the stage may be over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mimo_vl.schema.manifest import Progress
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.attempts import read_progress
from mimo_vl.storage.checkpoints import complete_steps
from mimo_vl.storage.layout import CHECKPOINTS_DIR, attempt_prefix, join
from tests.e2e.kube import Cluster, eventually
from tests.e2e.port_forward import open_release_store
from tests.e2e.release import explain

T = TypeVar("T")
_INTERVAL_S = 0.5


@dataclass(frozen=True)
class StoredSteps:
    """Of the stages of one run, whose objects the release of that namespace keeps."""

    cluster: Cluster
    namespace: str
    release: str
    run_id: str
    deadline_s: float

    def wait_for_step(self, stage: str, step: int, attempt: int = 1) -> Progress:
        """Until the attempt has told of that step or a later one."""
        prefix = attempt_prefix(self.run_id, stage, attempt)

        def reached(store: ArtifactStore) -> Progress | None:
            told = read_progress(store, prefix)
            return told if told is not None and told.step >= step else None

        return self._wait(f"attempt {attempt} of {stage} has done step {step}", reached)

    def wait_for_checkpoint(self, stage: str, step: int, attempt: int = 1) -> int:
        """Until the checkpoint of that step, or of a later one, is whole; returns which."""
        folder = join(attempt_prefix(self.run_id, stage, attempt), CHECKPOINTS_DIR)

        def newest(store: ArtifactStore) -> int | None:
            found = max(complete_steps(store, folder), default=0)
            return found if found >= step else None

        return self._wait(f"attempt {attempt} of {stage} has saved step {step}", newest)

    def _wait(self, what: str, probe: Callable[[ArtifactStore], T | None]) -> T:
        with open_release_store(self.cluster, self.namespace, self.release) as store:
            return eventually(
                what,
                lambda: probe(store),
                deadline_s=self.deadline_s,
                interval_s=_INTERVAL_S,
                explain=lambda: explain(self.cluster, self.namespace),
            )
