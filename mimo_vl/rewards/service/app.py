"""How the reward service starts and stops: a Ray Serve application of the caller's Ray cluster, HTTP on its head.

    ray.init(...)                         # by the caller, who sets what schema/ray_environment.py holds, and
                                          # RAY_AUTH_MODE: unset, Ray writes a token into the user's home directory
    url = deploy(config.rewards, config.processing, reward_models={RewardTask.PREFERENCE_TEXT: find_folder},
                 token=token, find_media=build_media_folder)
    RewardClient(url, token).score(requests)
    shutdown()

The ingress and the rule worker never load torch. Media are looked up by sha256 (see rewards/media.py), in a folder that
each replica of the multimodal reward model builds on its own node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.deployment import Application

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.errors import InputError
from mimo_vl.free_port import free_port
from mimo_vl.rewards.media import MediaFolder
from mimo_vl.rewards.router import PREFERENCE_TASKS
from mimo_vl.rewards.service.deployments import RewardModelWorker, RuleWorker
from mimo_vl.rewards.service.ingress import Ingress
from mimo_vl.vocabulary import RewardTask

APP_NAME = "rewards"
_LOOPBACK = "127.0.0.1"
# Calls that one replica works on at once; more wait in the bounded queue of the caller's handle.
_MAX_ONGOING = 8
_QUIET_LOGS = {"log_level": "WARNING", "enable_access_log": False}
# A replica that does not answer check_health for this long is replaced.
_HEALTH_PERIOD_S, _HEALTH_TIMEOUT_S = 10.0, 60.0


@dataclass(frozen=True, kw_only=True)
class ServicePlace:
    """Where the service listens and runs. `port` 0 takes a free one; options are Ray's, of an actor.

    `model_options`: of the replicas of reward models; with `num_gpus` they compute on a GPU.
    """

    host: str = _LOOPBACK
    port: int = 0
    ingress_options: Mapping[str, Any] = field(default_factory=lambda: {"num_cpus": 0.1})
    rule_options: Mapping[str, Any] = field(default_factory=lambda: {"num_cpus": 0.1})
    model_options: Mapping[str, Any] = field(default_factory=lambda: {"num_cpus": 0.1})


def deploy(
    config: RewardsConfig,
    processing: ProcessingConfig,
    *,
    reward_models: Mapping[RewardTask, Callable[[], Path]],
    token: str,
    find_media: Callable[[], MediaFolder] | None = None,
    place: ServicePlace | None = None,
    num_threads: int = 1,
) -> str:
    """Start the service in the running Ray cluster; returns its base URL for callers on the head, once it is ready.

    Args:
        config: rules, mappings, deadlines.
        processing: as in training of the reward models.
        reward_models: preference task -> how a replica finds the `model/` folder of a reward-model stage on its node;
            a task left out is unavailable.
        token: bearer token that callers of /v1/score must send.
        find_media: how a replica gets the media of multimodal requests on its node.
        place: default = a free port of loopback.
        num_threads: CPU threads of each reward model that runs on CPU.

    Raises:
        InputError: the token is empty, or a task is not a preference task.
    """
    _check(reward_models, token)
    place = place or ServicePlace()
    port = place.port or free_port()
    serve.start(
        proxy_location="HeadOnly",
        http_options={
            "host": place.host,
            "port": port,
            # Without it a caller of a hung replica waits for ever.
            "request_timeout_s": config.request_deadline_s + config.math_deadline_s + 15.0,
        },
        logging_config=_QUIET_LOGS,
    )
    device = "cuda" if place.model_options.get("num_gpus") else "cpu"
    models = {
        task: _replicas(str(task), RewardModelWorker, place.model_options, config).bind(
            find_model,
            config,
            processing,
            find_media if task is RewardTask.PREFERENCE_MULTIMODAL else None,
            num_threads,
            device,
        )
        for task, find_model in sorted(reward_models.items())
    }
    rules = _replicas("rules", RuleWorker, place.rule_options, config).bind(config)
    ingress = _replicas("ingress", Ingress, place.ingress_options, config, max_ongoing=4 * _MAX_ONGOING)
    application: Application = ingress.bind(config, token, rules, models)
    serve.run(application, name=APP_NAME, route_prefix="/", logging_config=_QUIET_LOGS)
    return f"http://{_LOOPBACK}:{port}"


def shutdown() -> None:
    """Stop the service and Ray Serve; the Ray cluster stays the caller's."""
    serve.shutdown()


def _check(reward_models: Mapping[RewardTask, object], token: str) -> None:
    if not token:
        raise InputError("token is empty; give the reward service a random bearer token")
    for task in reward_models:
        if task not in PREFERENCE_TASKS:
            raise InputError(f"reward_models: task {task} is judged by a rule; wanted {', '.join(PREFERENCE_TASKS)}")


def _replicas(
    name: str, kind: type, actor_options: Mapping[str, Any], config: RewardsConfig, *, max_ongoing: int = _MAX_ONGOING
) -> serve.Deployment:
    return serve.deployment(
        name=name,
        max_ongoing_requests=max_ongoing,
        ray_actor_options=dict(actor_options),
        max_queued_requests=config.max_queued_requests,
        health_check_period_s=_HEALTH_PERIOD_S,
        health_check_timeout_s=_HEALTH_TIMEOUT_S,
        graceful_shutdown_timeout_s=2.0,
        graceful_shutdown_wait_loop_s=0.2,
    )(kind)
