"""Where everything of a run lies in the store: the only place that builds these keys.

runs/<namespace>/<pipeline>/<uid8>/               = run_prefix(run_id), run_id = "<namespace>/<pipeline>/<uid8>"
tracking.json                                 ids of the parent run in the tracking server
<stage>/output.json                           pointer: which attempt's output is the stage's output
<stage>/attempt-<n>/                          = attempt_prefix(...): MIMO_OUTPUT, also the URI of the artifact
claim.json                                created first, conditionally: the owner of the attempt
progress.json, exit.json, revoked.json, verdict.json
environment.json                          packages and machine of the process of rank 0
journal/chunk-<k>.jsonl                   metrics with their original times
logs/node-<n>.log                         newest output of the processes of a node
checkpoints/step-<k>/..., complete.json   complete.json last
output/...                                the files of the artifact
manifest.json                             last: without it the output does not exist
<namespace>/keys/<hex of stage key>.json          earlier output of a stage key
data/<hex of digest>/output/..., manifest.json    a user's own data (data.custom)
"""

from __future__ import annotations

from mimo_vl.errors import ConfigError

OUTPUT_DIR = "output"
CHECKPOINTS_DIR = "checkpoints"
JOURNAL_DIR = "journal"
LOGS_DIR = "logs"
MANIFEST = "manifest.json"
CLAIM = "claim.json"
EXIT = "exit.json"
PROGRESS = "progress.json"
REVOKED = "revoked.json"
VERDICT = "verdict.json"
ENVIRONMENT = "environment.json"
POINTER = "output.json"
TRACKING = "tracking.json"
COMPLETE = "complete.json"


def join(*parts: str) -> str:
    """Key from its parts; empty parts vanish, so a store rooted at an artifact uses the prefix ""."""
    return "/".join(part.strip("/") for part in parts if part.strip("/"))


def run_prefix(run_id: str) -> str:
    return join("runs", run_id)


def stage_prefix(run_id: str, stage: str) -> str:
    return join(run_prefix(run_id), stage)


def attempt_prefix(run_id: str, stage: str, attempt: int) -> str:
    return join(stage_prefix(run_id, stage), f"attempt-{attempt}")


def key_index_key(namespace: str, stage_key: str) -> str:
    return join(namespace, "keys", stage_key.removeprefix("sha256:") + ".json")


def data_prefix(digest: str) -> str:
    return join("data", digest.removeprefix("sha256:"))


def node_log_key(attempt: str, node_rank: int) -> str:
    return join(attempt, LOGS_DIR, f"node-{node_rank}.log")


def step_dir(step: int) -> str:
    return f"step-{step}"


def run_of_output(output_uri: str) -> str:
    """Run id of the run that made an artifact: an earlier one where the artifact was reused."""
    return "/".join(output_uri.rstrip("/").split("/")[-5:-2])


def split_output_uri(output_uri: str, run_id: str, stage: str, attempt: int) -> tuple[str, str]:
    """MIMO_OUTPUT -> (URI of the store's root, prefix of the attempt in it)."""
    prefix = attempt_prefix(run_id, stage, attempt)
    uri = output_uri.rstrip("/")
    if not uri.endswith("/" + prefix):
        raise ConfigError(f"MIMO_OUTPUT: got {output_uri!r}; wanted <store>/{prefix} (from MIMO_RUN_ID, MIMO_STAGE)")
    return uri[: -len(prefix) - 1], prefix
