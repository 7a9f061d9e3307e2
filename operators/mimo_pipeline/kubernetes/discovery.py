"""Which kinds of leaf jobs this cluster has right now; a missing one is looked for again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from operators.mimo_pipeline.kubernetes.cluster import Api, ApiError
from operators.mimo_pipeline.kubernetes.resources import LEAVES, Resource

logger = logging.getLogger(__name__)

_EVERY_S = 15.0


class Discovery:
    """Asked from several threads; a look that two of them take at once is harmless."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._looked_at_s = float("-inf")
        self._served: frozenset[Resource] = frozenset()

    def served(self) -> frozenset[Resource]:
        """Without an answer it stays what it was. Raises ApiError only if nothing was ever known."""
        if self._clock() - self._looked_at_s < _EVERY_S:
            return self._served
        try:
            found = frozenset(r for r in LEAVES if self._api.is_served(r))
        except ApiError as error:
            if self._looked_at_s == float("-inf"):
                raise
            logger.warning("job kinds not looked for: %s", error)
            found = self._served
        if found != self._served:
            logger.info("job kinds of this cluster: %s", sorted(r.kind for r in found))
        self._served, self._looked_at_s = found, self._clock()
        return found
