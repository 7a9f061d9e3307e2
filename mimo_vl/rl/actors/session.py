"""How are all processes of MORL brought up, connected, run and taken down? (What they do: driver.py.)

process             what                                             group of nodes
this process        driver, reward client                            head
rollout actors      engine each                                      rollout
node actors         system metrics                                   one on every other node
Ray Train workers   policy, optimizer                                trainer
Ray Serve           rule worker, one replica per reward model        reward
Ray Serve           proxy and ingress (HTTP)                         head
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.service.app import ServicePlace, deploy, shutdown
from mimo_vl.rewards.service.client import RewardClient
from mimo_vl.rl.actors.cluster import Group, gpu_shares, live_nodes, placement, ray_cluster
from mimo_vl.rl.actors.node_metrics import RayNodeProbes
from mimo_vl.rl.actors.rollout import RayEngines
from mimo_vl.rl.actors.trainer import RayTrainerLink
from mimo_vl.rl.checkpoint import DriverState, ResumePoint, RunLog, read_state
from mimo_vl.rl.driver import MorlDriver, StageLink
from mimo_vl.rl.node_metrics import NodeMetricsThread
from mimo_vl.rl.rollout import RolloutCollector
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.manifest import FileEntry
from mimo_vl.vocabulary import RewardTask, RlFamily

logger = logging.getLogger(__name__)


class OutputLink(StageLink, Protocol):
    """What the session tells the process around it, beside what the driver does."""

    def add_output(self, files: tuple[FileEntry, ...]) -> None:
        """Files of the output that a trainer worker has put into the store."""

    def checkpoint_uri(self, checkpoint: Path) -> str:
        """Where workers on other nodes find this checkpoint."""

    def reward_service_ready(self, url: str) -> None:
        """Base URL of the service, for callers on this node."""

    def report_nodes(self, values: Mapping[str, float], index: int) -> None:
        """How busy the other nodes are, by full metric names; called from a thread of its own."""


@dataclass(frozen=True, kw_only=True)
class RayAccess:
    """Which Ray cluster, and how the reward service is reached in it.

    `address` "" = a local cluster. `host`, `port`: where the service listens; port 0 takes a free one.
    """

    address: str = ""
    reward_token: str
    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True, kw_only=True)
class MorlSession:
    """`reward_models`: preference task -> how a replica finds `model/` of its reward model on its node.

    `node_metrics_interval_s`: 0 = other nodes are not looked at.
    """

    settings: WorkerSettings
    rewards: RewardsConfig
    reward_models: Mapping[RewardTask, Callable[[], Path]]
    seed: int
    access: RayAccess
    node_metrics_interval_s: float

    def run(self, *, stage: OutputLink, log: RunLog, checkpoint: Path | None) -> dict[str, float]:
        """Train from `checkpoint` (verified) or from the start, export the policy; returns what the log sums up to."""
        rl = self.settings.rl
        state = DriverState() if checkpoint is None else read_state(checkpoint)
        log.restore(checkpoint)
        prompts = self.settings.build_prompts(self.settings.build_encoder())
        resume = None
        if checkpoint is not None:
            resume = ResumePoint(uri=stage.checkpoint_uri(checkpoint), version=state.step)
        with ray_cluster(self.access.address, rl):
            # All processes load torch at the same time; each constructor returns at once.
            gpus = gpu_shares(live_nodes(), self._num_actors())
            engines = RayEngines(self.settings, rl.num_rollout_workers, rl.call_timeout_s, gpus[Group.ROLLOUT])
            trainer = RayTrainerLink(
                self.settings, engines, resume=resume, timeout_s=rl.call_timeout_s, num_gpus=gpus[Group.TRAINER]
            )
            nodes = NodeMetricsThread(RayNodeProbes(), stage.report_nodes, interval_s=self.node_metrics_interval_s)
            try:
                url = self._start_rewards(gpus[Group.REWARD])
                stage.reward_service_ready(url)
                scorer = RewardClient(url, self.access.reward_token)
                engines.wait_ready()
                # All that has to find its place has found it.
                nodes.start()
                if state.step:
                    trainer.push_weights()
                logger.info("all processes ready step=%d num_steps=%d", state.step, rl.num_steps)
                collector = RolloutCollector(rl, engines=engines, scorer=scorer, prompts=prompts, seed=self.seed)
                MorlDriver(rl, collector=collector, trainer=trainer, stage=stage, log=log).run(state)
                stage.add_output(trainer.export())
                trainer.stop()
            finally:
                nodes.stop()
                if self.access.address:
                    # In a cluster that goes on without us, the service would too.
                    shutdown()
        return log.summary()

    def _num_actors(self) -> dict[Group, int]:
        """Those that compute with a model."""
        rl = self.settings.rl
        return {
            Group.TRAINER: rl.num_trainer_workers,
            Group.ROLLOUT: rl.num_rollout_workers,
            Group.REWARD: len(self.reward_models),
        }

    def _start_rewards(self, num_gpus: float) -> str:
        has_media = RlFamily.PREFERENCE_MULTIMODAL in self.settings.families
        return deploy(
            self.rewards,
            self.settings.processing,
            reward_models=self.reward_models,
            token=self.access.reward_token,
            find_media=self.settings.build_media if has_media else None,
            place=ServicePlace(
                host=self.access.host,
                port=self.access.port,
                ingress_options=placement(Group.HEAD),
                rule_options=placement(Group.REWARD),
                model_options=placement(Group.REWARD, num_gpus),
            ),
        )
