"""`mimo lineage`: the tree of what every output was made from."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.tree import Tree

from jobs.cli_names import near_matches
from jobs.cli_output import Format, print_json, wide_console
from mimo_vl.errors import InputError
from mimo_vl.reporting.lineage import Artifact, TreeLine, tree_lines
from mimo_vl.reporting.read import Source, read_run
from mimo_vl.reporting.run import Run

_SHOWN_DIGEST = 19


def print_lineage(source: Source, stage: str, output: Format) -> None:
    """Of one stage, or of every output that nothing else of the run was made from."""
    run = read_run(source, with_metrics=False)
    artifacts = {artifact.digest: artifact for artifact in run.artifacts}
    roots = [_digest_of(run, stage)] if stage else _ends(run, artifacts)
    if not roots:
        raise InputError(f"{run.run_id}: no stage has published an output yet; look with: mimo status")
    if output == Format.JSON:
        print_json({"run": run.run_id, "roots": roots, "artifacts": [_facts(a) for a in artifacts.values()]})
        return
    console = wide_console()
    for root in roots:
        console.print(_tree(tree_lines(root, artifacts)))


def _digest_of(run: Run, name: str) -> str:
    stage = next((s for s in run.stages if s.name == name), None)
    if stage is None:
        raise InputError(f"--stage: {name!r} is not in this run.{near_matches(name, [s.name for s in run.stages])}")
    if not stage.digest:
        raise InputError(f"--stage: {name} has no output (it is {stage.state}); look with: mimo status")
    return stage.digest


def _ends(run: Run, artifacts: dict[str, Artifact]) -> list[str]:
    used = {ref.digest for artifact in artifacts.values() for ref in artifact.inputs.values()}
    return [stage.digest for stage in run.stages if stage.digest and stage.digest not in used]


def _tree(lines: Sequence[TreeLine]) -> Tree:
    root = Tree(_label(lines[0]))
    branches = [root]
    for line in lines[1:]:
        del branches[line.depth :]
        branches.append(branches[-1].add(_label(line)))
    return root


def _label(line: TreeLine) -> str:
    artifact = line.artifact
    text = f"{line.name}  {artifact.digest[:_SHOWN_DIGEST]}  {artifact.uri}"
    if line.is_repeated:
        text += "  (opened above)"
    elif artifact.note:
        text += "  (source; not read from here)"
    elif not artifact.inputs:
        text += "  (made from configuration and code alone)"
    return escape(text)


def _facts(artifact: Artifact) -> dict[str, object]:
    return {
        "name": artifact.name,
        "stage": artifact.stage,
        "run": artifact.run_id,
        "uri": artifact.uri,
        "digest": artifact.digest,
        "code_digest": artifact.code_digest,
        "config_digest": artifact.config_digest,
        "image": artifact.image,
        "bytes": artifact.size_bytes,
        "inputs": {name: {"uri": ref.uri, "digest": ref.digest} for name, ref in artifact.inputs.items()},
        "note": artifact.note,
    }
