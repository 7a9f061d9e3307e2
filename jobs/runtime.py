"""What a stage's main function runs in: `sys.exit(run_stage(main))`.

The context comes from the MIMO_* variables (mimo_vl/schema/environment.py), the ranks from RANK, WORLD_SIZE.
Folders of an attempt: mimo_vl/storage/layout.py. On a file:// store `out_dir` and `checkpoint_dir` lie inside the store
and nothing is copied; on s3:// they lie in scratch space (MIMO_SCRATCH or the temporary folder) and are uploaded.
Rank 0 alone claims, writes progress and publishes; every rank may write files into `out_dir` and `checkpoint_dir`.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

from jobs.failures import Failure, describe_failure, write_failure
from jobs.stage_context import StageContext
from jobs.stage_metrics import measured, open_stage_metrics
from jobs.stage_results import log_results
from jobs.stage_tracking import finish_tracking, start_tracker
from mimo_vl.config.compose import load_config
from mimo_vl.config.pipeline import PipelineConfig, stage_config_digest
from mimo_vl.errors import EXIT_DONE, ConfigError
from mimo_vl.observability.logging import configure_logging
from mimo_vl.schema.environment import StageEnvironment, credential_variables
from mimo_vl.schema.manifest import Claim
from mimo_vl.schema.ray_environment import RAY_ENVIRONMENT
from mimo_vl.stop_request import StopRequest
from mimo_vl.storage import ArtifactStore, Credentials, store_for_uri
from mimo_vl.storage.attempt_files import AttemptFiles, InputAccess
from mimo_vl.storage.attempts import claim_attempt, require_claim
from mimo_vl.storage.checkpoints import complete_steps
from mimo_vl.storage.layout import CHECKPOINTS_DIR, OUTPUT_DIR, split_output_uri, step_dir
from mimo_vl.tracking import NullTracker, Tracker

logger = logging.getLogger(__name__)

Main = Callable[[StageContext], Mapping[str, float]]


def run_stage(main: Main, environ: Mapping[str, str] | None = None) -> int:
    """Claim the attempt, run `main`, publish what it returned as metrics; returns the exit code of the process.

    Every rank calls it. `main` returns on all ranks after a barrier of its own choice; then rank 0 publishes.
    On SIGTERM `ctx.should_stop()` turns true: main saves and raises InterruptedAfterSaveError.
    """
    environ = os.environ if environ is None else environ
    rank, world_size = int(environ.get("RANK", "0")), int(environ.get("WORLD_SIZE", "1"))
    json_lines = environ.get("MIMO_LOG_FORMAT", "text") == "json"
    configure_logging(json_lines=json_lines, rank=rank, world_size=world_size)
    stop = _watch_sigterm()
    tracker: Tracker = NullTracker()
    try:
        context = build_context(environ, stop)
        tracker = context.tracker
        metrics = main(context)
        context.publish(metrics)
        log_results(context)
    # The rim of the process: whatever went wrong becomes an exit code and one line.
    except Exception as error:  # noqa: BLE001
        failure = describe_failure(error)
        _report(failure, error, environ, rank)
        finish_tracking(tracker, failure)
        return failure.exit_code
    finish_tracking(tracker, None)
    return EXIT_DONE


def set_ray_environment() -> None:
    """What Ray and its processes shall find; call it before ray is imported. A cluster's own values win.

    Unset, RAY_AUTH_MODE would make Ray write a token into the user's home. A random token protects the loopback
    ports of a local cluster; children inherit it.
    """
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def ray_address() -> str:
    """Of the Ray cluster that this process shall join; "" = none, it starts its own."""
    return os.environ.get("RAY_ADDRESS", "")


def reward_token() -> str:
    """Bearer token of the reward service: MIMO_REWARD_TOKEN, which other clients may know, or a random one."""
    return os.environ.get("MIMO_REWARD_TOKEN") or secrets.token_hex(16)


def reward_port() -> int:
    """Where the reward service listens in a cluster; the Service in front of it names the same port."""
    return int(os.environ.get("MIMO_REWARD_PORT") or 8000)


def num_threads() -> int:
    """CPU threads of this process: OMP_NUM_THREADS (the launcher sets it), or all cores."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def build_context(environ: Mapping[str, str], stop: StopRequest) -> StageContext:
    """Read the environment, claim the attempt (rank 0), make the folders, start tracking."""
    env = StageEnvironment.from_environ(environ)
    config = load_config(env.config_path)
    root_uri, attempt = split_output_uri(env.output_uri, env.run_id, env.stage, env.attempt)
    store = store_for_uri(root_uri, config.storage)
    rank = int(environ.get("RANK", "0"))
    if rank == 0:
        _own_attempt(store, attempt, env, environ.get("MIMO_CLAIM_OWNER", ""))
    files = AttemptFiles(
        root_uri=root_uri,
        prefix=attempt,
        storage=config.storage,
        scratch=_scratch_finder(environ),
        inputs_elsewhere=_inputs_elsewhere(env, config, environ),
    )
    out_dir, checkpoint_dir = files.folder(OUTPUT_DIR), files.folder(CHECKPOINTS_DIR)
    out_dir.mkdir(parents=True, exist_ok=True)
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    local_rank = int(environ.get("LOCAL_RANK", "0"))
    shown = open_stage_metrics(env, config.observability, environ, local_rank=local_rank)
    return StageContext(
        namespace=env.namespace,
        pipeline=env.pipeline,
        run_id=env.run_id,
        stage=env.stage,
        attempt=env.attempt,
        stage_key=env.stage_key,
        config=config,
        rank=rank,
        world_size=int(environ.get("WORLD_SIZE", "1")),
        local_rank=local_rank,
        local_world_size=int(environ.get("LOCAL_WORLD_SIZE", environ.get("WORLD_SIZE", "1"))),
        node_rank=int(environ.get("GROUP_RANK", "0")),
        out_dir=out_dir,
        checkpoint_dir=checkpoint_dir,
        resume_from=_resume_folder(env, config, files),
        resume_uri=env.resume_from_uri,
        tracker=measured(_tracker(env, config, store, files, environ), shown),
        shown=shown,
        inputs=env.inputs,
        code_digest=env.code_digest,
        image=env.image,
        config_digest=stage_config_digest(config, env.stage),
        store=store,
        files=files,
        stop=stop,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tracking_uri=env.tracking_uri or config.tracking.uri,
    )


def _tracker(
    env: StageEnvironment,
    config: PipelineConfig,
    store: ArtifactStore,
    files: AttemptFiles,
    environ: Mapping[str, str],
) -> Tracker:
    """One process of each node has one; rank 0's owns the run."""
    if int(environ.get("LOCAL_RANK", "0")) != 0:
        return NullTracker()
    return start_tracker(env, config, store, files, node_rank=int(environ.get("GROUP_RANK", "0")))


def scratch_folder() -> Path:
    """Scratch space of the node on which it is called: MIMO_SCRATCH, or the temporary folder."""
    return _scratch_folder(os.environ.get("MIMO_SCRATCH", ""))


def _scratch_finder(environ: Mapping[str, str]) -> Callable[[], Path]:
    # Sent to another node, `scratch_folder` reads the environment there.
    return scratch_folder if environ is os.environ else partial(_scratch_folder, environ.get("MIMO_SCRATCH", ""))


def _scratch_folder(given: str) -> Path:
    return Path(given or Path(tempfile.gettempdir()) / "mimo-scratch")


def has_store_credentials() -> bool:
    """The pair of variables that the S3 client reads is set."""
    return bool(os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"))


def store_endpoint_url() -> str:
    """AWS_ENDPOINT_URL: where a user outside the cluster reaches the store, such as a forwarded port; "" = not said."""
    return os.environ.get("AWS_ENDPOINT_URL", "")


def is_in_cluster() -> bool:
    """This process runs in a pod, for which Services have addresses."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def input_credentials(name: str) -> Credentials | None:
    """Of an input's own store, on the node on which it is called; None = it has none of its own."""
    return _input_credentials(name, os.environ)


def _inputs_elsewhere(
    env: StageEnvironment, config: PipelineConfig, environ: Mapping[str, str]
) -> dict[str, InputAccess]:
    """By URI, as AttemptFiles wants it."""
    found = {}
    for name, store in env.input_stores.items():
        # Sent to another node, `input_credentials` reads the environment there.
        own = partial(_input_credentials, name, environ)
        credentials = partial(input_credentials, name) if environ is os.environ else own
        storage = replace(
            config.storage, kind="s3", uri="", endpoint=store.endpoint, region=store.region, secure=store.secure
        )
        found[env.inputs[name].uri] = InputAccess(storage=storage, credentials=credentials)
    return found


def _input_credentials(name: str, environ: Mapping[str, str]) -> Credentials | None:
    access, secret = credential_variables(name)
    if not environ.get(access) and not environ.get(secret):
        return None
    if not (environ.get(access) and environ.get(secret)):
        raise ConfigError(f"{access} and {secret}: only one is set; wanted both, from the Secret of input {name}")
    return Credentials(access_key=environ[access], secret_key=environ[secret])


def make_claim(stage_key: str) -> Claim:
    """A claim of this process, with a fresh owner name."""
    return Claim(
        owner=uuid.uuid4().hex,
        hostname=socket.gethostname(),
        pid=os.getpid(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        process_start_time_s=psutil.Process().create_time(),
        stage_key=stage_key,
    )


def _own_attempt(store: ArtifactStore, attempt: str, env: StageEnvironment, claimed_by_launcher: str) -> None:
    if claimed_by_launcher:
        require_claim(store, attempt, claimed_by_launcher)
    else:
        claim_attempt(store, attempt, make_claim(env.stage_key))


def _resume_folder(env: StageEnvironment, config: PipelineConfig, files: AttemptFiles) -> Path | None:
    """The earlier attempt's checkpoints, in place or the newest of them downloaded, once per node."""
    if not env.resume_from_uri:
        return None
    store = store_for_uri(env.resume_from_uri, config.storage)
    local = store.local_path()
    if local is not None:
        return local if local.is_dir() else None
    steps = complete_steps(store, "")
    return files.checkpoint(store.uri(step_dir(steps[-1]))).parent if steps else None


def _watch_sigterm() -> StopRequest:
    stop = StopRequest()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        if sys.__stderr__ is not None:
            # kill -USR1 shows where a stuck rank is.
            faulthandler.register(signal.SIGUSR1, file=sys.__stderr__)
    return stop


def _report(failure: Failure, error: Exception, environ: Mapping[str, str], rank: int) -> None:
    if not failure.is_expected:
        logger.error("unexpected %s", type(error).__name__, exc_info=error)
    logger.error("%s exit_code=%d: %s", failure.reason, failure.exit_code, failure.message)
    if environ.get("MIMO_FAILURE_DIR"):
        write_failure(Path(environ["MIMO_FAILURE_DIR"]), int(environ.get("LOCAL_RANK", rank)), failure)
