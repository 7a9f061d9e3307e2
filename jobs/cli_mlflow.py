"""`mimo mlflow`: the run's page in its tracking server, as long as the command runs."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import typer

from jobs.cli_output import Format, Output, say
from jobs.cli_target import Context, Kubeconfig, Namespace, Pipeline, Run, RunDir, open_target


def register(app: typer.Typer) -> None:
    app.command()(mlflow)


def mlflow(
    run: Run = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the address of the run in MLflow, and keep it reachable until Ctrl-C.

    On this machine a server is started if none runs; on a cluster a port is forwarded to the server in it.
    """
    # A server that was started here must not stay behind, however this command is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig, run)
    with target.open_tracking(target.load()) as address:
        show(address, output, wait=threading.Event().wait)


def show(address: str, output: Format, *, wait: Callable[[], object]) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        say(f"MLflow: {address} (Ctrl-C ends it)", output, address=address)
        wait()


def moved(page: str, address: str) -> str:
    """The same page of a server that is reached at another host:port."""
    parts = urlsplit(page)
    return urlunsplit(parts._replace(netloc=address))
