"""Which stages there are and what each needs: the default graph, subsets of it, and what makes a graph valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mimo_vl.errors import ConfigError
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES, StageName
from operators.mimo_pipeline.api import (
    InputSpec,
    JobWorkload,
    MimoPipelineSpec,
    PytorchWorkload,
    RayWorkload,
    StageSpec,
)
from operators.mimo_pipeline.naming import name_problems, pipeline_name_problems

Workload = JobWorkload | PytorchWorkload | RayWorkload
_N = StageName
# What each stage of the default pipeline needs. finalize needs all others and runs on failure too.
_NEEDS: Mapping[StageName, tuple[StageName, ...]] = {
    _N.BASE: (),
    _N.CURATE: (_N.BASE,),
    _N.PROJECTOR_WARMUP: (_N.BASE, _N.CURATE),
    _N.VISION_LANGUAGE_ALIGNMENT: (_N.BASE, _N.CURATE, _N.PROJECTOR_WARMUP),
    _N.MULTIMODAL_PRETRAINING: (_N.BASE, _N.CURATE, _N.VISION_LANGUAGE_ALIGNMENT),
    _N.LONG_CONTEXT_SFT: (_N.BASE, _N.CURATE, _N.MULTIMODAL_PRETRAINING),
    _N.CURATE_RL: (_N.BASE, _N.CURATE, _N.LONG_CONTEXT_SFT),
    _N.REWARD_MODEL_TEXT: (_N.BASE, _N.CURATE_RL),
    _N.REWARD_MODEL_MULTIMODAL: (_N.BASE, _N.LONG_CONTEXT_SFT, _N.CURATE_RL),
    _N.MORL: (
        _N.BASE,
        _N.CURATE,
        _N.LONG_CONTEXT_SFT,
        _N.CURATE_RL,
        _N.REWARD_MODEL_TEXT,
        _N.REWARD_MODEL_MULTIMODAL,
    ),
    _N.EVALUATE: (_N.BASE, _N.CURATE, _N.LONG_CONTEXT_SFT, _N.MORL),
}


def default_graph(
    *, workloads: Mapping[str, Workload] | None = None, inputs: Sequence[InputSpec] = ()
) -> list[StageSpec]:
    """The pipeline of the report. Stages named like a `spec.inputs` entry are left out: their output is given.

    Args:
        workloads: what runs a stage; one node with one rank, or one pod per group, where not named.
        inputs: artifacts made elsewhere, such as `base`.
    """
    given = {i.name for i in inputs}
    stages = [
        StageSpec(
            name=name,
            **_as_field((workloads or {}).get(name) or _smallest(name)),
            depends_on=tuple(n for n in needs if n not in given),
            inputs=tuple(n for n in needs if n in given),
        )
        for name, needs in _NEEDS.items()
        if name not in given
    ]
    everything = tuple(s.name for s in stages)
    return [*stages, StageSpec(name=_N.FINALIZE, job=JobWorkload(), depends_on=everything, run_on_failure=True)]


def _smallest(name: StageName) -> Workload:
    if name in PRETRAINING_STAGES or name in REWARD_MODEL_STAGES:
        return PytorchWorkload()
    return RayWorkload() if name == StageName.MORL else JobWorkload()


def _as_field(workload: Workload) -> dict[str, Workload]:
    kinds = {JobWorkload: "job", PytorchWorkload: "pytorch", RayWorkload: "ray"}
    return {kinds[type(workload)]: workload}


def up_to(stages: Sequence[StageSpec], last: str) -> list[StageSpec]:
    """`last` and all that it depends on."""
    by_name = _by_name(stages)
    _require_known([last], by_name)
    keep, todo = set[str](), [last]
    while todo:
        name = todo.pop()
        if name not in keep:
            keep.add(name)
            todo.extend(by_name[name].depends_on)
    return [s for s in stages if s.name in keep]


def only(stages: Sequence[StageSpec], names: Sequence[str]) -> list[StageSpec]:
    """The named stages. A stage that runs on failure too (finalize) is content with what is left."""
    by_name = _by_name(stages)
    _require_known(names, by_name)
    kept = []
    for stage in stages:
        if stage.name not in names:
            continue
        missing = [d for d in stage.depends_on if d not in names]
        if missing and not stage.run_on_failure:
            raise ConfigError(f"stages: {stage.name} needs {missing}; add them (finished ones are reused by their key)")
        kept.append(stage.model_copy(update={"depends_on": tuple(d for d in stage.depends_on if d in names)}))
    return kept


def _by_name(stages: Sequence[StageSpec]) -> dict[str, StageSpec]:
    return {s.name: s for s in stages}


def _require_known(names: Sequence[str], by_name: Mapping[str, StageSpec]) -> None:
    unknown = [n for n in names if n not in by_name]
    if unknown:
        raise ConfigError(f"stages: {unknown} unknown; choose from {list(by_name)}")


def problems(pipeline: str, spec: MimoPipelineSpec) -> list[str]:
    """Everything that is wrong with the graph, each as one sentence; empty = valid."""
    found = pipeline_name_problems(pipeline)
    names = [s.name for s in spec.stages]
    if not names:
        found.append("spec.stages: empty; name at least one stage")
    found += [f"spec.stages: {n} occurs {names.count(n)} times; names must be unique" for n in _repeated(names)]
    for stage in spec.stages:
        found += _stage_problems(pipeline, stage, spec)
    if not found:
        cycle = _on_a_cycle(spec.stages)
        if cycle:
            found.append(f"spec.stages: {cycle} depend on each other in a circle; remove one dependsOn")
    return found


def _stage_problems(pipeline: str, stage: StageSpec, spec: MimoPipelineSpec) -> list[str]:
    where = f"spec.stages[{stage.name}]"
    names, inputs = {s.name for s in spec.stages}, {i.name for i in spec.inputs}
    kinds = [kind for kind in ("job", "pytorch", "ray") if getattr(stage, kind) is not None]
    found = [f"{where}: has {kinds}; wanted exactly one of job, pytorch and ray"] if len(kinds) > 1 else []
    found += [f"{where}.dependsOn: no stage {d!r}" for d in stage.depends_on if d not in names]
    found += [f"{where}.inputs: no spec.inputs entry {i!r}" for i in stage.inputs if i not in inputs]
    found += [f"{where}: {d!r} is both a stage and an input" for d in stage.depends_on if d in stage.inputs]
    found += [f"{where}: {p}" for p in name_problems(pipeline, stage.name)]
    if stage.retry.backoff_seconds > stage.retry.max_backoff_seconds:
        found.append(f"{where}.retry: backoffSeconds is larger than maxBackoffSeconds; lower it or raise the other")
    return found


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({n for n in names if names.count(n) > 1})


def _on_a_cycle(stages: Sequence[StageSpec]) -> list[str]:
    """Stages that no topological order can reach."""
    left = {s.name: set(s.depends_on) for s in stages}
    while True:
        free = [n for n, needs in left.items() if not needs & left.keys()]
        if not free:
            return sorted(left)
        for name in free:
            del left[name]


def topological(stages: Sequence[StageSpec]) -> list[StageSpec]:
    """Each stage after all that it depends on; otherwise in the order given."""
    done: set[str] = set()
    ordered: list[StageSpec] = []
    left = list(stages)
    while left:
        ready = next(s for s in left if set(s.depends_on) <= done)
        left.remove(ready)
        done.add(ready.name)
        ordered.append(ready)
    return ordered


def descendants(stages: Sequence[StageSpec], name: str) -> set[str]:
    """`name` and every stage that depends on it, directly or not."""
    found = {name}
    for stage in topological(stages):
        if found & set(stage.depends_on):
            found.add(stage.name)
    return found
