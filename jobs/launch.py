"""The process of a stage: `python -m jobs.launch --nproc N -- jobs.train`.

It claims the attempt, starts the ranks, forwards SIGTERM, ends what is left of them, and leaves an exit record in the
attempt's folder and in /dev/termination-log. A copy of the log goes to the store, bounded and without secrets.
It loads neither torch nor ray. If it is killed, its ranks die with it.
On several nodes (PET_NNODES > 1, as Kubeflow sets it) each node runs one; that of node 0 claims and writes the record.
In a container: MIMO_GRACE_S is the time from SIGTERM to SIGKILL of the ranks, below that of the pod;
MIMO_DRIVER_PID_FILE gets our pid, for a preStop hook that sends SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from jobs.environment_record import leave_environment
from jobs.exit_status import first_to_fail, summarise
from jobs.failures import describe_failure, read_failure
from jobs.log_shipper import ship_output
from jobs.node import Node, read_node
from jobs.rank_group import RankGroup
from jobs.runtime import make_claim
from jobs.termination_log import write_termination_log
from mimo_vl.config.compose import load_config
from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import EXIT_RETRY, AttemptClaimedError, ConfigError, MimoError
from mimo_vl.observability.logging import configure_logging
from mimo_vl.observability.memory import PssSampler
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.manifest import ExitRecord
from mimo_vl.stop_request import StopRequest
from mimo_vl.storage import ArtifactStore, store_for_uri
from mimo_vl.storage.attempts import claim_attempt, write_exit_record
from mimo_vl.storage.layout import node_log_key, split_output_uri

logger = logging.getLogger(__name__)

_DEFAULT_GRACE_S = 60.0
_CGROUP_EVENTS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    configure_logging(json_lines=os.environ.get("MIMO_LOG_FORMAT", "text") == "json")
    stop = StopRequest()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    _lead_own_session()
    with _pid_file(os.environ.get("MIMO_DRIVER_PID_FILE", "")):
        return _launch(arguments, stop)


def _launch(arguments: argparse.Namespace, stop: StopRequest) -> int:
    try:
        node = read_node(os.environ)
        env = StageEnvironment.from_environ(os.environ)
        root_uri, attempt = split_output_uri(env.output_uri, env.run_id, env.stage, env.attempt)
        storage, problem = _storage(env)
        store = store_for_uri(root_uri, storage)
        claim = make_claim(env.stage_key)
        if node.is_first:
            claim_attempt(store, attempt, claim)
            leave_environment(store_for_uri(root_uri, storage.impatient()), attempt)
    except MimoError as error:
        # Not our attempt, or no place to write to: the termination log alone.
        return _refuse(error)
    impatient = store_for_uri(root_uri, storage.impatient())
    with ship_output(impatient, node_log_key(attempt, node.rank), os.environ):
        record = _failed(problem) if problem else _run(arguments, node, claim.owner, stop)
    record = record.model_copy(update={"finished_at": datetime.now(UTC).isoformat(timespec="seconds")})
    write_termination_log(record)
    if node.is_first:
        _leave_record(store, attempt, record)
    return record.exit_code


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.launch", description="Run the ranks of one stage attempt.")
    parser.add_argument("--nproc", type=int, default=1, help="ranks on this node")
    grace_s = float(os.environ.get("MIMO_GRACE_S") or _DEFAULT_GRACE_S)
    parser.add_argument("--grace-s", type=float, default=grace_s, help="seconds from SIGTERM to SIGKILL")
    parser.add_argument("module", help="for example jobs.train")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the module")
    return parser.parse_args(list(argv))


def _lead_own_session() -> None:
    """Signals of the terminal and of our starter's group shall not reach the ranks."""
    if os.getsid(0) != os.getpid():
        try:
            os.setsid()
        except PermissionError:
            logger.debug("already leader of a process group")


@contextlib.contextmanager
def _pid_file(path: str) -> Iterator[None]:
    """Our pid in a file that exists as long as we run; "" = none."""
    if not path:
        yield
        return
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(f"{os.getpid()}\n")
    temporary.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _storage(env: StageEnvironment) -> tuple[StorageConfig, ConfigError | None]:
    """And what is wrong with the configuration: the record of it can be left."""
    try:
        return load_config(env.config_path).storage, None
    except ConfigError as error:
        return StorageConfig(), error


def _run(arguments: argparse.Namespace, node: Node, owner: str, stop: StopRequest) -> ExitRecord:
    ooms_before = _num_oom_kills()
    with tempfile.TemporaryDirectory(prefix="mimo-launch-") as folder:
        command = [sys.executable, "-m", arguments.module, *arguments.arguments]
        group = RankGroup(command, _environments(node, arguments.nproc, owner, folder), grace_s=arguments.grace_s)
        group.start()
        sampler = PssSampler(os.getpid())
        sampler.start()
        codes = group.wait(stop)
        peak_pss_bytes = sampler.stop()
        group.end_orphans()
        failures = {rank: f for rank in range(arguments.nproc) if (f := read_failure(Path(folder), rank)) is not None}
    record = summarise(
        codes,
        failures,
        first_failed=first_to_fail(group.first_failed, failures, all_well_at_s=group.all_well_at_s),
        was_stopped=stop.is_set(),
        was_out_of_memory=_num_oom_kills() > ooms_before,
        first_rank=node.rank * arguments.nproc,
    )
    return record.model_copy(update={"peak_pss_bytes": peak_pss_bytes})


def _environments(node: Node, nproc: int, owner: str, failure_dir: str) -> list[dict[str, str]]:
    """By local rank."""
    common = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    threads = max(1, len(os.sched_getaffinity(0)) // nproc)
    common.setdefault("OMP_NUM_THREADS", str(threads))
    # Threads that spin while they wait take the cores of other processes: measured 10 x slower on two cores.
    common.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    common |= {"MIMO_CLAIM_OWNER": owner, "MIMO_FAILURE_DIR": failure_dir, "PYTHONUNBUFFERED": "1"}
    return [common | node.rank_variables(local_rank, nproc) for local_rank in range(nproc)]


def _num_oom_kills() -> int:
    """How often the kernel killed for memory in this container, so far; 0 where it does not tell."""
    for path in _CGROUP_EVENTS:
        if path.is_file():
            for line in path.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _failed(error: MimoError) -> ExitRecord:
    failure = describe_failure(error)
    logger.error("%s exit_code=%d: %s", failure.reason, failure.exit_code, failure.message)
    return ExitRecord(exit_code=failure.exit_code, reason=failure.reason, message=failure.message)


def _refuse(error: MimoError) -> int:
    record = _failed(error)
    if not isinstance(error, AttemptClaimedError):
        write_termination_log(record)
    return record.exit_code


def _leave_record(store: ArtifactStore, attempt: str, record: ExitRecord) -> None:
    try:
        write_exit_record(store, attempt, record)
    except (MimoError, OSError) as error:
        logger.error("exit record not written: %s", error)


if __name__ == "__main__":
    # Whatever the launcher did not foresee must not look like an exit code with a meaning.
    try:
        sys.exit(main())
    except Exception:
        logging.getLogger(__name__).exception("the launcher failed")
        sys.exit(EXIT_RETRY)
