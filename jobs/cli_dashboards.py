"""The command `dashboards`: the dashboards as a page, without Grafana."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli_output import Format, Output, say
from mimo_vl.errors import MimoError

# While it is served; each load asks Prometheus anew.
_REFRESH_S = 15
_LOOPBACK = "127.0.0.1"


def register(app: typer.Typer) -> None:
    app.command()(dashboards)


def dashboards(
    prometheus: Annotated[str, typer.Option(help="Address of a Prometheus.")] = "http://127.0.0.1:9090",
    to: Annotated[Path, typer.Option("--to", help="File to write.")] = Path("dashboards.html"),
    serve: Annotated[
        bool, typer.Option("--serve", help="Show it on this machine instead, renewed all the time.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of --serve; 0 = a free one.")] = 9470,
    minutes: Annotated[float, typer.Option(help="How far back.", min=0.1)] = 60.0,
    pipeline: Annotated[str, typer.Option(help="Regular expression of pipeline names.")] = ".*",
    namespace: Annotated[str, typer.Option(help="Regular expression of namespaces.")] = ".*",
    output: Output = Format.TABLE,
) -> None:
    """Draw the dashboards of a Prometheus as one page that needs nothing else."""
    from operators.mimo_pipeline.local.state import write_atomically

    chosen = {"namespace": namespace, "pipeline": pipeline}
    if not serve:
        text = page(prometheus, minutes=minutes, chosen=chosen)
        write_atomically(to, text)
        say(f"wrote {to}; open {to.resolve().as_uri()} in a browser", output, page=str(to.resolve()))
        return
    # A wrong address is told now, not at the first look.
    page(prometheus, minutes=minutes, chosen=chosen)
    server = build_server(lambda: page(prometheus, minutes=minutes, chosen=chosen, refresh_s=_REFRESH_S), port)
    address = f"http://{_LOOPBACK}:{server.server_address[1]}"
    say(f"dashboards: {address} (Ctrl-C ends it)", output, address=address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return
    finally:
        server.server_close()


def build_server(make_page: Callable[[], str], port: int) -> ThreadingHTTPServer:
    """On loopback; answers every GET with a new page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                status, text = 200, make_page()
            except MimoError as error:
                status, text = 502, f"<!doctype html><p>{escape(str(error))}</p>"
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Nothing: the command has said where it listens."""

    return ThreadingHTTPServer((_LOOPBACK, port), Handler)


def page(prometheus: str, *, minutes: float, chosen: dict[str, str], refresh_s: int = 0) -> str:
    """Raises ServiceUnavailableError if the address does not answer as a Prometheus."""
    from mimo_vl.observability.dashboards.catalogue import DASHBOARDS
    from mimo_vl.observability.dashboards.grafana import dashboard_json
    from mimo_vl.observability.dashboards.page import PageRequest, last_minutes, render_page
    from mimo_vl.observability.dashboards.prometheus_api import PrometheusApi

    request = PageRequest(
        source=PrometheusApi(prometheus),
        over=last_minutes(minutes, time.time()),
        variables=chosen,
        refresh_s=refresh_s,
    )
    return render_page([dashboard_json(board) for board in DASHBOARDS], request)
