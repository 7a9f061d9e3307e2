"""What a world must offer to the controller: the seam between reconcile and processes, PyTorchJobs or RayJobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from operators.mimo_pipeline.plan import Conclude, Create, Delete, StageObservation

LeafT = TypeVar("LeafT")


class StageBackend(Protocol[LeafT]):
    def render(self, create: Create) -> LeafT:
        """The object that runs this attempt. Pure, with deterministic names: rendering twice gives the same."""
        ...

    def apply(self, leaf: LeafT) -> None:
        """Create it. Creating what exists already is no error if it is the same attempt."""
        ...

    def observe(self) -> Sequence[StageObservation]:
        """All attempts of the pipeline, finished ones included as long as anything of them is left."""
        ...

    def conclude(self, order: Conclude) -> None:
        """Leave the verdict with an attempt that has ended; the first one stands."""
        ...

    def delete(self, order: Delete) -> None:
        """Ask an attempt to end, or kill it; returns at once."""
        ...
