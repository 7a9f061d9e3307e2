"""`mimo submit`: a profile as a MimoPipeline, printed or created on a cluster."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated, Optional

import typer

from jobs.cli_program import command
from jobs.cli_target import Context, Kubeconfig, Namespace

# typer reads annotations at run time and wants Optional spelled out for lists.
_Repeated = Optional[list[str]]  # noqa: UP045


class Format(StrEnum):
    YAML = "yaml"
    JSON = "json"


def register(app: typer.Typer) -> None:
    app.command()(submit)


def submit(
    profile: Annotated[
        str, typer.Option("--profile", help="Configuration profile: tiny, smol or mimo_vl_7b.")
    ] = "tiny",
    name: Annotated[str, typer.Option("--name", help="metadata.name; default: the profile's name.")] = "",
    override: Annotated[
        _Repeated, typer.Option("--override", help="path.to.field=value, or @name for a shipped set. Repeatable.")
    ] = None,
    given: Annotated[
        _Repeated, typer.Option("--input", help="Artifact made elsewhere: NAME=URI@DIGEST[,SECRET]. Repeatable.")
    ] = None,
    stages: Annotated[str, typer.Option(help="Comma-separated: only these stages.")] = "",
    through: Annotated[str, typer.Option(help="Stop after this stage.")] = "",
    queue: Annotated[
        str, typer.Option(help="Kueue LocalQueue that admits its jobs; default: that of the operator, if it has one.")
    ] = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the object; contact no cluster.")] = False,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="How the object is printed; json: what was created too.")
    ] = Format.YAML,
) -> None:
    """Create a MimoPipeline on a cluster from a profile."""
    from operators.mimo_pipeline.submission import Submission, build_object, object_yaml, parse_inputs

    submission = Submission(
        profile=profile,
        name=name,
        namespace=namespace,
        overrides=tuple(override or ()),
        inputs=parse_inputs(given or ()),
        stages=tuple(s.strip() for s in stages.split(",") if s.strip()),
        through=through,
        queue=queue,
    )
    body = build_object(submission)
    if dry_run:
        sys.stdout.write(object_yaml(body) if output == Format.YAML else json.dumps(body, indent=1) + "\n")
        return
    from operators.mimo_pipeline.kubernetes.api_client import connect

    client = connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
    created = client.create(body)["metadata"]["name"]
    follow = command("status", "--pipeline", created, "-n", client.namespace)
    if output == Format.JSON:
        typer.echo(json.dumps({"created": created, "namespace": client.namespace, "follow": follow}))
        return
    typer.echo(f"created mimopipeline {created} in namespace {client.namespace}; follow it with: {follow}")
