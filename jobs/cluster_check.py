"""Does what a profile would create on a cluster fit together: pods, ranks, GPUs, memory, time to save? Only renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from jobs.grace_check import grace_problems
from mimo_vl.config.compose import compose
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.rewards.verifiers.custom import load_custom_verifier
from mimo_vl.training.plan_estimate import GPU_MEMORY_GIB, USABLE_GPU_MEMORY, estimate
from mimo_vl.training.plan_morl import ROLLOUT, morl_plans
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import InputSpec, MimoPipelineSpec, StageSpec
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.pod_groups import PodGroup, pod_groups
from operators.mimo_pipeline.builders.rendered import render_all
from operators.mimo_pipeline.cluster_settings import ClusterSettings, load_settings
from operators.mimo_pipeline.example_settings import example_settings
from operators.mimo_pipeline.naming import config_map_name, run_id
from operators.mimo_pipeline.profile_graph import needs_gpus
from operators.mimo_pipeline.submission import Submission, build_spec

# What is known only when a pipeline exists.
_UID = "00000000-0000-4000-8000-000000000000"
UNKNOWN_DIGEST = "sha256:" + "0" * 64
_NAMESPACE = "default"
_REMEDY = "shard more (parallelism.zero_stage, num_ranks) or checkpoint activations"
_REMEDIES = {StageName.MORL: "raise rl.num_micro_batches or rl.num_trainer_workers, or checkpoint activations"}


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """`settings_path`: operator.yaml of a cluster; None = an example cluster of the size that the profile needs."""

    profile: str
    overrides: tuple[str, ...] = ()
    inputs: tuple[InputSpec, ...] = ()
    settings_path: Path | None = None
    output_dir: Path | None = None
    gpu_memory_gib: float = GPU_MEMORY_GIB


@dataclass(frozen=True, kw_only=True)
class Row:
    """One group of pods of one stage."""

    stage: str
    kind: str
    group: PodGroup
    memory_gib: float | None
    """Estimate per GPU; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    config: PipelineConfig
    spec: MimoPipelineSpec
    objects: Sequence[Mapping[str, Any]]
    rows: Sequence[Row]


def render(request: CheckRequest) -> Rendered:
    submission = Submission(profile=request.profile, overrides=request.overrides, inputs=_inputs(request))
    config, spec = build_spec(submission)
    load_custom_verifier(config.rewards)
    values = TypeAdapter(PipelineConfig).dump_python(config, mode="json")
    objects = render_all(spec, _facts(submission, spec, _settings(request, config)), values)
    memory = {(plan.stage, plan.role): plan.memory_gib for plan in (*estimate(config), *morl_plans(config))}
    rows = [
        Row(stage=stage.name, kind=leaf["kind"], group=group, memory_gib=_memory(memory, stage.name, group.name))
        for stage, leaf in zip(spec.stages, objects[1:], strict=True)
        for group in pod_groups(leaf)
    ]
    return Rendered(config=config, spec=spec, objects=objects, rows=rows)


def fit_problems(rendered: Rendered, gpu_memory_gib: float) -> list[str]:
    """A GPU per rank where GPUs are asked for at all, memory for what the rank holds, and time to save it."""
    found: list[str] = []
    usable_gib = gpu_memory_gib * USABLE_GPU_MEMORY
    for stage in rendered.spec.stages:
        rows = [row for row in rendered.rows if row.stage == stage.name]
        found += _rank_problems(stage, rows, rendered.config)
        # What the answers of an engine need at worst is shown, not refused: few are as long as allowed.
        trained = next((r for r in rows if r.memory_gib is not None and r.group.name != ROLLOUT), None)
        if trained is None or trained.memory_gib is None or not trained.group.gpus_per_pod:
            continue
        memory_gib = trained.memory_gib
        if memory_gib > usable_gib:
            found.append(
                f"{stage.name}: needs about {memory_gib:.1f} GiB per GPU, {usable_gib:.1f} of {gpu_memory_gib:.1f} GiB "
                f"can be used; {_REMEDIES.get(StageName(stage.name), _REMEDY)}"
            )
    groups = {s.name: [row.group for row in rendered.rows if row.stage == s.name] for s in rendered.spec.stages}
    return [*found, *grace_problems(rendered.config, groups)]


def write_manifests(objects: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """One file per object, `<kind>-<name>.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for body in objects:
        path = folder / f"{body['kind'].lower()}-{body['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(body, sort_keys=False, allow_unicode=True), encoding="utf-8")
        paths.append(path)
    return paths


def _memory(memory: Mapping[tuple[str, str], float], stage: str, group: str) -> float | None:
    """Of a process of this group, where the plan tells groups apart, else of any process of the stage."""
    return memory.get((stage, group), memory.get((stage, "")))


def _rank_problems(stage: StageSpec, rows: Sequence[Row], config: PipelineConfig) -> list[str]:
    groups = [row.group for row in rows]
    if stage.pytorch is not None:
        return _gpu_problems(stage.name, groups, stage.num_procs, "parallelism.num_ranks")
    if stage.ray is None:
        return []
    trainers, rollouts = ([g for g in groups if g.name == name] for name in ("trainer", "rollout"))
    return [
        *_gpu_problems(stage.name, trainers, config.rl.num_trainer_workers, "rl.num_trainer_workers"),
        *_gpu_problems(stage.name, rollouts, config.rl.num_rollout_workers, "rl.num_rollout_workers"),
    ]


def _gpu_problems(stage: str, groups: Sequence[PodGroup], wanted: int, field: str) -> list[str]:
    num_pods, num_gpus = sum(g.num_pods for g in groups), sum(g.num_gpus for g in groups)
    if num_gpus in (0, wanted):
        return []
    each = groups[0].gpus_per_pod
    return [
        f"{stage}: {num_pods} pods with {each} GPUs each are {num_gpus} GPUs for {wanted} processes ({field}); "
        f"ask for {-(-wanted // num_pods)} per pod, or change {field}"
    ]


def _inputs(request: CheckRequest) -> tuple[InputSpec, ...]:
    """Profiles that make no base models get a placeholder."""
    needs_base = compose(request.profile, request.overrides).base is None
    if not needs_base or any(i.name == StageName.BASE for i in request.inputs):
        return request.inputs
    return (*request.inputs, InputSpec(name=StageName.BASE, uri="s3://models/base", digest=UNKNOWN_DIGEST))


def _settings(request: CheckRequest, config: PipelineConfig) -> ClusterSettings:
    if request.settings_path is not None:
        return load_settings(request.settings_path)
    return example_settings(has_gpus=needs_gpus(config))


def _facts(submission: Submission, spec: MimoPipelineSpec, settings: ClusterSettings) -> ClusterFacts:
    name = submission.object_name
    return ClusterFacts(
        namespace=_NAMESPACE,
        pipeline=name,
        uid=_UID,
        run_id=run_id(_NAMESPACE, name, _UID),
        code_digest=UNKNOWN_DIGEST,
        config_map=config_map_name(name, _UID),
        store=spec.storage or settings.store,
        tracking_uri=spec.tracking.uri if spec.tracking else settings.tracking_uri,
        settings=settings,
        queue_name=spec.queue_name,
        inputs=spec.inputs,
    )
