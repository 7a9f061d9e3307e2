"""What runs inside the replicas of the reward service: rule workers and reward models, each a thin shell.

Every deployment answers `check_health` from its event loop and scores in threads, so that a hung replica is noticed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.math_pool import MathPool
from mimo_vl.rewards.media import MediaFolder
from mimo_vl.rewards.router import PreferenceScorer, RuleRouter, preference_results, unjudged
from mimo_vl.schema.reward import ScoreRequest, ScoreResult, ScoreStatus

logger = logging.getLogger(__name__)


class RuleWorker:
    """Judges rule tasks; symbolic maths goes to processes of its own, which are killed at their deadline."""

    def __init__(self, config: RewardsConfig) -> None:
        self._config = config
        self._pool = MathPool(num_workers=config.math_workers, deadline_s=config.math_deadline_s)
        self._router = RuleRouter(config, self._pool)
        self._threads = ThreadPoolExecutor(max_workers=config.math_workers, thread_name_prefix="rules")

    async def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """One result per request, in order; what has not started by the request deadline is a time-out."""
        deadline = time.monotonic() + self._config.request_deadline_s
        loop = asyncio.get_running_loop()
        jobs = [loop.run_in_executor(self._threads, self._score_one, r, deadline) for r in requests]
        return list(await asyncio.gather(*jobs))

    def _score_one(self, request: ScoreRequest, deadline: float) -> ScoreResult:
        if time.monotonic() > deadline:
            return unjudged(request, ScoreStatus.TIMEOUT, "the batch ran out of time before this request", self._config)
        return self._router.score(request)

    async def check_health(self) -> None:
        """Raises nothing: answering at all shows that the event loop is free."""

    def __del__(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.close()


class RewardModelWorker:
    """Holds one reward model. If it cannot be loaded, the worker says so at each call and other tasks go on.

    `find_model`, `find_media` are called here, because this node may have other folders than the one that deploys.
    """

    def __init__(
        self,
        find_model: Callable[[], Path],
        config: RewardsConfig,
        processing: ProcessingConfig,
        find_media: Callable[[], MediaFolder] | None,
        num_threads: int,
        device: str,
    ) -> None:
        self._config = config
        self._scorer: PreferenceScorer | None = None
        self._problem = ""
        self._lock = asyncio.Lock()
        try:
            # Imports the encoder; torch follows inside.
            from mimo_vl.rewards.reward_model import build_scorer

            self._scorer = build_scorer(
                find_model(),
                processing,
                media=None if find_media is None else find_media(),
                token_budget=config.token_budget,
                num_threads=num_threads,
                device=device,
            )
        except Exception as error:
            # Any failure to load (missing file, wrong shape, no memory) must leave the service up for other tasks.
            logger.exception("the reward model cannot be loaded")
            self._problem = f"the reward model cannot be loaded: {error}"

    async def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """One call at a time: calls are never merged, so that the same calls give the same bits."""
        if self._scorer is None:
            return [unjudged(r, ScoreStatus.UNAVAILABLE, self._problem, self._config) for r in requests]
        start = time.perf_counter()
        async with self._lock:
            raw = await asyncio.to_thread(self._scorer.raw_scores, requests)
        latency_ms = (time.perf_counter() - start) * 1000 / max(1, len(requests))
        version = self._scorer.version
        return preference_results(requests, raw, self._config, version=version, latency_ms=latency_ms)

    async def describe(self) -> dict[str, str]:
        """`version`, or `problem` when the model could not be loaded."""
        return {"problem": self._problem} if self._scorer is None else {"version": self._scorer.version}

    async def check_health(self) -> None:
        """Raises nothing: answering at all shows that the event loop is free."""
