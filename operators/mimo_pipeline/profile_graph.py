"""The default graph for a composed configuration: as many pods, ranks and GPUs as the configuration says."""

from __future__ import annotations

from collections.abc import Sequence

from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.config.training import ParallelismConfig
from mimo_vl.errors import ConfigError
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import (
    InputSpec,
    JobWorkload,
    PodSettings,
    PytorchWorkload,
    RayGroup,
    RayWorkload,
    StageSpec,
    Toleration,
)
from operators.mimo_pipeline.stage_graph import Workload, default_graph

# Jobs whose models write answers.
_GENERATING_JOBS = (StageName.CURATE_RL, StageName.EVALUATE)
_GPU = "nvidia.com/gpu"
_ONE_GPU = PodSettings(
    requests={_GPU: "1"},
    limits={_GPU: "1"},
    tolerations=(Toleration(key=_GPU, operator="Exists", effect="NoSchedule"),),
)


def graph_of(config: PipelineConfig, inputs: Sequence[InputSpec] = ()) -> list[StageSpec]:
    """Raises ConfigError for every stage whose ranks do not fill its nodes."""
    torch = {str(name): stage.parallelism for name, stage in config.stages.items()}
    torch |= {str(name): model.parallelism for name, model in config.reward_models.items()}
    problems = [problem for name, section in torch.items() for problem in _rank_problems(name, section)]
    if problems:
        raise ConfigError("\n".join(problems))
    workloads: dict[str, Workload] = {name: _pytorch(section) for name, section in torch.items()}
    if needs_gpus(config):
        workloads |= dict.fromkeys(_GENERATING_JOBS, JobWorkload(pod=_ONE_GPU))
    workloads[StageName.MORL] = RayWorkload(
        trainer=RayGroup(replicas=config.rl.num_trainer_workers),
        rollout=RayGroup(replicas=config.rl.num_rollout_workers),
    )
    return default_graph(workloads=workloads, inputs=inputs)


def needs_gpus(config: PipelineConfig) -> bool:
    """Several ranks share a node only where each has a GPU of it."""
    return any(section.parallelism.ranks_per_node > 1 for section in config.stages.values())


def _pytorch(parallelism: ParallelismConfig) -> PytorchWorkload:
    per_node = _ranks_per_node(parallelism)
    return PytorchWorkload(num_nodes=parallelism.num_ranks // per_node, num_procs_per_node=per_node)


def _ranks_per_node(parallelism: ParallelismConfig) -> int:
    return min(parallelism.ranks_per_node, parallelism.num_ranks)


def _rank_problems(name: str, parallelism: ParallelismConfig) -> list[str]:
    per_node = _ranks_per_node(parallelism)
    if parallelism.num_ranks % per_node == 0:
        return []
    return [
        f"{name}.parallelism: {parallelism.num_ranks} ranks do not fill nodes of {per_node}; "
        "change num_ranks or ranks_per_node so that one divides the other"
    ]
