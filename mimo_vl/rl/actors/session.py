"""How are all processes of MORL brought up, connected, run and taken down? (What they do: driver.py.)

this process        driver, reward client
rollout actors      engine each
Ray Train workers   policy, optimizer
Ray Serve           ingress (HTTP), rule worker, one replica per reward model
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.media import MediaFolder
from mimo_vl.rewards.service.app import deploy
from mimo_vl.rewards.service.client import RewardClient
from mimo_vl.rl.actors.cluster import ACTOR_CPUS, local_cluster
from mimo_vl.rl.actors.rollout import RayEngines
from mimo_vl.rl.actors.trainer import RayTrainerLink
from mimo_vl.rl.checkpoint import DriverState, RunLog, policy_dir, read_state
from mimo_vl.rl.driver import MorlDriver, StageLink
from mimo_vl.rl.prompts import PromptLibrary
from mimo_vl.rl.rollout import RolloutCollector
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.vocabulary import RewardTask, RlFamily

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MorlSession:
    """`reward_model_dirs`: preference task -> `model/` of its reward model."""

    settings: WorkerSettings
    rewards: RewardsConfig
    reward_model_dirs: Mapping[RewardTask, Path]
    seed: int

    def run(self, *, stage: StageLink, log: RunLog, checkpoint: Path | None, export_dir: Path) -> dict[str, float]:
        """Train from `checkpoint` (verified) or from the start, export the policy; returns what the log sums up to."""
        rl = self.settings.rl
        state = DriverState() if checkpoint is None else read_state(checkpoint)
        log.restore(checkpoint)
        prompts = self.settings.build_prompts(self.settings.build_encoder())
        with local_cluster(rl):
            resume = None if checkpoint is None else (policy_dir(checkpoint).resolve(), state.step)
            # All processes load torch at the same time; each constructor returns at once.
            engines = RayEngines(self.settings, rl.num_rollout_workers, rl.call_timeout_s)
            trainer = RayTrainerLink(self.settings, engines, resume=resume, timeout_s=rl.call_timeout_s)
            scorer = self._start_rewards(prompts)
            engines.wait_ready()
            if state.step:
                trainer.push_weights()
            logger.info("all processes ready step=%d num_steps=%d", state.step, rl.num_steps)
            collector = RolloutCollector(rl, engines=engines, scorer=scorer, prompts=prompts, seed=self.seed)
            MorlDriver(rl, collector=collector, trainer=trainer, stage=stage, log=log).run(state)
            trainer.export(export_dir)
            trainer.stop()
        return log.summary()

    def _start_rewards(self, prompts: PromptLibrary) -> RewardClient:
        media = MediaFolder(self.settings.scratch_dir / "media")
        if RlFamily.PREFERENCE_MULTIMODAL in self.settings.families:
            prompts.write_media(RlFamily.PREFERENCE_MULTIMODAL, media)
        token = secrets.token_hex(16)
        url = deploy(
            self.rewards,
            self.settings.processing,
            reward_model_dirs=self.reward_model_dirs,
            token=token,
            media_dir=media.folder,
            num_cpus=ACTOR_CPUS,
        )
        return RewardClient(url, token)
