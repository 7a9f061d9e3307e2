"""The records of the run that a command means: of a run folder, of a MimoPipeline, or of one that only a store has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli_names import near_matches
from jobs.cli_target import open_target
from mimo_vl.errors import ConfigError, InputError

if TYPE_CHECKING:
    from mimo_vl.reporting.read import Source
    from mimo_vl.storage import ArtifactStore

StoreUri = Annotated[
    str,
    typer.Option(
        "--store",
        help="file:///folder or s3://bucket/prefix; RUN is then one that `mimo runs --store` lists.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """`report_path`: where its report goes if nobody says."""

    source: Source
    report_path: Path


@contextmanager
def opened_run(
    run: str,
    run_dir: Path | None,
    pipeline: str,
    namespace: str,
    context: str,
    kubeconfig: Path | None,
    store: str,
) -> Iterator[OpenedRun]:
    """Raises InputError or ConfigError with the names that come near."""
    if store:
        if run_dir or pipeline or namespace or context or kubeconfig:
            raise ConfigError("--store: got it with options of a run folder or a cluster; leave one of them out")
        yield _stored(run.strip("/"), store)
        return
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig, run)
    found = target.load()
    with target.open_source(found) as source:
        yield OpenedRun(source=source, report_path=target.report_path(found))


def _stored(run: str, uri: str) -> OpenedRun:
    from mimo_vl.reporting.read import Source

    opened = given_store(uri)
    runs = stored_runs(opened)
    if run not in runs:
        raise InputError(f"RUN: {run or 'missing'}, not a run in {uri}.{near_matches(run, runs)}")
    source = Source(store=opened, run_id=run, open_store=given_store, title=f"MiMo-VL, run {run.split('/')[1]}")
    return OpenedRun(source=source, report_path=Path(f"{run.replace('/', '-')}-report.html"))


def given_store(uri: str) -> ArtifactStore:
    """Keys and address of an S3 server are those of AWS_*."""
    from jobs.cluster_store import own_address
    from mimo_vl.config.storage import StorageConfig
    from mimo_vl.storage import store_for_uri

    return store_for_uri(uri, own_address(StorageConfig(kind="s3")) if uri.startswith("s3://") else None)


def stored_runs(store: ArtifactStore) -> dict[str, dict[str, set[str]]]:
    """Run id -> stage -> names of the files that its attempts left, by run id."""
    found: dict[str, dict[str, set[str]]] = {}
    for info in store.list("runs/"):
        parts = info.key.split("/")
        # runs/<namespace>/<pipeline>/<uid8>/<stage>/attempt-<n>/<file>
        if len(parts) == 7 and parts[5].startswith("attempt-"):
            found.setdefault("/".join(parts[1:4]), {}).setdefault(parts[4], set()).add(parts[6])
    return dict(sorted(found.items()))
