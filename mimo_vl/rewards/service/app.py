"""How the reward service starts and stops: a Ray Serve application on a loopback port of the caller's Ray cluster.

    ray.init(...)                         # by the caller, who sets RAY_AUTH_MODE explicitly (jobs/runtime.py):
                                          # left unset, Ray writes a token into the user's home directory
    url = deploy(config.rewards, config.processing, reward_model_dirs={RewardTask.PREFERENCE_TEXT: folder},
                 token=token, port=0, media_dir=folder_of_MediaFolder)
    RewardClient(url, token).score(requests)
    shutdown()

The ingress and the rule worker never load torch. Media are looked up by sha256 in `media_dir` (see rewards/media.py);
the caller adds them with `MediaFolder(media_dir).add(...)` before it sends requests.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from ray import serve
from ray.serve.deployment import Application

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.errors import InputError
from mimo_vl.rewards.router import PREFERENCE_TASKS
from mimo_vl.rewards.service.deployments import RewardModelWorker, RuleWorker
from mimo_vl.rewards.service.ingress import Ingress
from mimo_vl.vocabulary import RewardTask

APP_NAME = "rewards"
_HOST = "127.0.0.1"
# Calls that one replica works on at once; more wait in the bounded queue of the caller's handle.
_MAX_ONGOING = 8
_QUIET_LOGS = {"log_level": "WARNING", "enable_access_log": False}
# A replica that does not answer check_health for this long is replaced.
_HEALTH_PERIOD_S, _HEALTH_TIMEOUT_S = 10.0, 60.0


def deploy(
    config: RewardsConfig,
    processing: ProcessingConfig,
    *,
    reward_model_dirs: Mapping[RewardTask, Path],
    token: str,
    port: int = 0,
    media_dir: Path | None = None,
    num_cpus: float = 0.1,
    num_threads: int = 1,
    device: str = "cpu",
) -> str:
    """Start the service in the running Ray cluster and return its base URL once all replicas are ready.

    Args:
        config: rules, mappings, deadlines.
        processing: as in training of the reward models.
        reward_model_dirs: preference task -> `model/` folder of a reward-model stage; a task left out is unavailable.
        token: bearer token that callers of /v1/score must send.
        port: 0 takes a free one.
        media_dir: folder of media by sha256; needed by multimodal requests.
        num_cpus: logical CPUs of each replica (fractional).
        num_threads: CPU threads of each reward model.
        device: where reward models run.

    Raises:
        InputError: a reward-model folder is missing, or a task is not a preference task.
    """
    _check(reward_model_dirs, token)
    chosen_port = port or _free_port()
    serve.start(
        proxy_location="HeadOnly",
        http_options={
            "host": _HOST,
            "port": chosen_port,
            # Without it a caller of a hung replica waits for ever.
            "request_timeout_s": config.request_deadline_s + config.math_deadline_s + 15.0,
        },
        logging_config=_QUIET_LOGS,
    )
    application = _bind(config, processing, reward_model_dirs, token, media_dir, num_cpus, num_threads, device)
    serve.run(application, name=APP_NAME, route_prefix="/", logging_config=_QUIET_LOGS)
    return f"http://{_HOST}:{chosen_port}"


def shutdown() -> None:
    """Stop the service and Ray Serve; the Ray cluster stays the caller's."""
    serve.shutdown()


def _check(reward_model_dirs: Mapping[RewardTask, Path], token: str) -> None:
    if not token:
        raise InputError("token is empty; give the reward service a random bearer token")
    for task, folder in reward_model_dirs.items():
        if task not in PREFERENCE_TASKS:
            raise InputError(
                f"reward_model_dirs: task {task} is judged by a rule; wanted {', '.join(PREFERENCE_TASKS)}"
            )
        if not folder.is_dir():
            raise InputError(f"reward_model_dirs[{task}]: no folder {folder}; wanted `model/` of a reward-model stage")


def _bind(
    config: RewardsConfig,
    processing: ProcessingConfig,
    reward_model_dirs: Mapping[RewardTask, Path],
    token: str,
    media_dir: Path | None,
    num_cpus: float,
    num_threads: int,
    device: str,
) -> Application:
    common = {
        "ray_actor_options": {"num_cpus": num_cpus},
        "max_queued_requests": config.max_queued_requests,
        "health_check_period_s": _HEALTH_PERIOD_S,
        "health_check_timeout_s": _HEALTH_TIMEOUT_S,
        "graceful_shutdown_timeout_s": 2.0,
        "graceful_shutdown_wait_loop_s": 0.2,
    }
    rules = serve.deployment(name="rules", max_ongoing_requests=_MAX_ONGOING, **common)(RuleWorker).bind(config)
    models = {
        task: serve.deployment(name=str(task), max_ongoing_requests=_MAX_ONGOING, **common)(RewardModelWorker).bind(
            str(folder.resolve()),
            config,
            processing,
            None if media_dir is None else str(media_dir.resolve()),
            num_threads,
            device,
        )
        for task, folder in sorted(reward_model_dirs.items())
    }
    ingress = serve.deployment(name="ingress", max_ongoing_requests=4 * _MAX_ONGOING, **common)(Ingress)
    return ingress.bind(config, token, rules, models)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
