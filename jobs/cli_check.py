"""`mimo check`: print what a profile would run here and create on a cluster, and say what does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import TypeAdapter
from rich import box
from rich.console import Console
from rich.table import Table

from jobs.cli_output import Format, print_json
from jobs.cluster_check import UNKNOWN_DIGEST, CheckRequest, Rendered, fit_problems, render, write_manifests
from mimo_vl.config.compose import dump_config
from mimo_vl.errors import ConfigError
from mimo_vl.training.flops import count_parameters
from mimo_vl.training.plan_estimate import DEFAULT_VOCAB
from operators.mimo_pipeline.api import MimoPipelineSpec
from operators.mimo_pipeline.builders.process import STAGE_MODULES, RunFacts, build_process
from operators.mimo_pipeline.naming import LOCAL_NAMESPACE, run_id
from operators.mimo_pipeline.plan import Create, InputArtifact

# All columns without folding.
_MIN_WIDTH = 150


def print_check(request: CheckRequest, output: Format = Format.TABLE) -> None:
    """Raises ConfigError for everything that does not fit, after the tables."""
    rendered = render(request)
    if output == Format.JSON:
        _print_facts(request, rendered)
        return
    console = Console(soft_wrap=True, markup=False)
    console.print(dump_config(rendered.config), markup=False, highlight=False)
    _print_processes(console, rendered.spec)
    wide = Console(width=max(console.width, _MIN_WIDTH), markup=False)
    wide.print(pod_table(request.profile, rendered))
    if request.output_dir is not None:
        for path in write_manifests(rendered.objects, request.output_dir):
            console.print(f"wrote {path}", markup=False, highlight=False)
    problems = fit_problems(rendered, request.gpu_memory_gib)
    if problems:
        raise ConfigError("\n".join(problems))


def _print_facts(request: CheckRequest, rendered: Rendered) -> None:
    written = write_manifests(rendered.objects, request.output_dir) if request.output_dir is not None else []
    problems = fit_problems(rendered, request.gpu_memory_gib)
    print_json(
        {
            "profile": request.profile,
            "config": TypeAdapter(type(rendered.config)).dump_python(rendered.config, mode="json"),
            "objects": [f"{o['kind']}/{o['metadata']['name']}" for o in rendered.objects],
            "written": [str(path) for path in written],
            "problems": problems,
        }
    )
    if problems:
        raise ConfigError("\n".join(problems))


def pod_table(profile: str, rendered: Rendered) -> Table:
    count = count_parameters(rendered.config.model, vocab_size=DEFAULT_VOCAB).total
    gpus = max(sum(r.group.num_gpus for r in rendered.rows if r.stage == s.name) for s in rendered.spec.stages)
    title = f"Profile {profile}: {count / 1e9:,.2f} B parameters, at most {gpus:,} GPUs at once"
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for heading in ("stage", "kind", "group"):
        table.add_column(heading, no_wrap=True)
    table.add_column("pods", justify="right")
    table.add_column("requests of a pod")
    table.add_column("limits of a pod")
    table.add_column("GPUs", justify="right")
    table.add_column("GiB per GPU", justify="right")
    for row in rendered.rows:
        group = row.group
        resources = (_resources(group.requests), _resources(group.limits))
        memory = "–" if row.memory_gib is None or not group.gpus_per_pod else f"{row.memory_gib:,.1f}"
        table.add_row(row.stage, row.kind, group.name, str(group.num_pods), *resources, str(group.num_gpus), memory)
    return table


def _print_processes(console: Console, spec: MimoPipelineSpec) -> None:
    """The launcher of each stage on one machine, with its environment."""
    facts = RunFacts(
        namespace=LOCAL_NAMESPACE,
        pipeline="check",
        run_id=run_id(LOCAL_NAMESPACE, "check", "00000000"),
        store_uri="file:///<run dir>/store",
        config_path="config.yaml",
        code_digest=UNKNOWN_DIGEST,
        python="python",
        modules=STAGE_MODULES,
        num_procs={s.name: s.num_procs for s in spec.stages},
    )
    for stage in spec.stages:
        inputs = {n: InputArtifact(uri=f"<output of {n}>", digest="<digest>") for n in stage.depends_on}
        process = build_process(Create(stage=stage.name, attempt=1, key="<stage key>", inputs=inputs), facts)
        console.print(f"# {stage.name}: {' '.join(process.argv)}", markup=False, highlight=False)
        console.print(json.dumps(dict(process.env), indent=1, sort_keys=True), markup=False, highlight=False)


def _resources(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {quantity}" for name, quantity in sorted(values.items())) or "–"
