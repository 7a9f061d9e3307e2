"""DeepSpeed behind one small class: sharded forward, backward, clipped step, save, load. Its only importer.

Loss scale: DeepSpeed averages gradients over the ranks and, unless told otherwise, divides every loss by the
accumulation steps. We switch the second off, so that a loss given as sum * R / N_total yields the mean over N_total.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from mimo_vl.errors import ConfigError, InputError
from mimo_vl.importing import imports_refused, uncollected
from mimo_vl.training.world import World

_MODEL_TAG = "state"
_UNIVERSAL_TAG = "universal"
# DeepSpeed's own value, in elements.
_REDUCE_BUCKET_SIZE = 500_000_000
# Never print DeepSpeed's own step line: ours has the same facts.
_NEVER = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    zero_stage: int
    num_micro_batches: int
    """Per rank and optimizer step."""
    max_grad_norm: float
    is_bf16: bool
    load_universal: bool = False
    """The state to load was written by another number of ranks and has been converted."""


def start_distributed(world: World, *, init_method: str | None = None) -> None:
    """Join the process group: gloo on CPU, nccl on GPU. `init_method` None = torch's env:// rendezvous.

    On CPU DeepSpeed would compile a shared-memory all-reduce here; it is switched off, because a training image
    needs no C++ compiler, and gloo gives the same sums.
    """
    # DeepSpeed's autotuner, unused here, imports MLflow if it can: 3 s of CPU in each rank.
    with imports_refused("mlflow"), uncollected():
        import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # DeepSpeed calls collectives by the names they had before torch 2.13.
    warnings.filterwarnings("ignore", message=".*torch.distributed.*deprecated", category=FutureWarning)
    if not world.is_gpu:
        import deepspeed.ops

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        # ZeRO imports the optimizer Muon, unused here, whose kernel is decorated with torch.compile: without this, that
        # loads torch's whole compiler, 4 s of CPU in each rank.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    else:
        # Collectives on Python values work on the current device: without this, all ranks of a node on its first GPU.
        torch.cuda.set_device(world.device)
    backend = "nccl" if world.is_gpu else "gloo"
    if not dist.is_initialized():
        dist.init_process_group(backend, init_method=init_method, rank=world.rank, world_size=world.size)
    deepspeed.init_distributed(backend, auto_mpi_discovery=False, verbose=False)


def stop_distributed(*, is_orderly: bool = True) -> None:
    """Leave the group: together, since a rank that tears its connections down early aborts its peers.

    `is_orderly` False after an error, when the peers may not come: closing the connections fails them too.
    """
    if dist.is_initialized():
        if is_orderly:
            dist.barrier()
        dist.destroy_process_group()


class TrainingEngine:
    """One model, its optimizer and their shards on this rank."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, config: EngineConfig) -> None:
        import deepspeed

        self._config = config
        self._torch_optimizer = optimizer
        num_trained = sum(getattr(p, "ds_numel", p.numel()) for g in optimizer.param_groups for p in g["params"])
        self._engine, *_ = deepspeed.initialize(
            model=module, optimizer=optimizer, config=_deepspeed_config(config, num_trained)
        )
        self._unsharded_grad_norm = math.nan
        self._base_lrs = [float(group["lr"]) for group in optimizer.param_groups]

    @property
    def module(self) -> nn.Module:
        return self._engine.module

    @property
    def num_micro_batches(self) -> int:
        return self._config.num_micro_batches

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self._engine(*args, **kwargs)

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradient of `loss` exactly as it is (no division by the accumulation steps).

        DeepSpeed hooks the tensors that forward returned and divides there when it does not know the graph; a new
        tensor on top (the clone) makes the graph known first. Without it ZeRO-0 would divide in spite of the switch.
        """
        self._engine.backward(loss.clone(), scale_wrt_gas=False)

    def micro_step(self) -> None:
        """Close a micro-batch; the last one of an optimizer step clips, updates and clears the gradients."""
        if self._config.zero_stage == 0 and self._engine.is_gradient_accumulation_boundary():
            # DeepSpeed reports no norm for plain data parallelism; here the gradients are averaged but not clipped yet.
            gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
            self._unsharded_grad_norm = float(torch.nn.utils.get_total_norm(gradients))
        self._engine.step()

    def set_lr_factor(self, factor: float) -> None:
        """Set every group's rate to its peak times `factor`."""
        for group, base in zip(self._engine.optimizer.param_groups, self._base_lrs, strict=True):
            group["lr"] = base * factor

    def learning_rates(self) -> dict[str, float]:
        """Current rate by name of the optimizer group."""
        groups = self._engine.optimizer.param_groups
        return {str(group.get("name", i)): float(group["lr"]) for i, group in enumerate(groups)}

    def grad_norm(self) -> float:
        """Global 2-norm before clipping, of the last optimizer step."""
        if self._config.zero_stage == 0:
            return self._unsharded_grad_norm
        norm = self._engine.get_global_grad_norm()
        return math.nan if norm is None else float(norm)

    @contextlib.contextmanager
    def gathered(self) -> Iterator[nn.Module]:
        """The module with whole parameters on every rank (ZeRO-3 holds shards otherwise)."""
        if self._config.zero_stage < 3:
            yield self.module
            return
        import deepspeed

        with deepspeed.zero.GatheredParameters(list(self.module.parameters()), modifier_rank=None):
            yield self.module

    def save(self, directory: Path) -> None:
        """Write weights and optimizer shards. Every rank must call it."""
        self._engine.save_checkpoint(str(directory), tag=_MODEL_TAG, save_latest=False)

    def load(self, directory: Path) -> None:
        """Restore what `save` wrote. The caller has verified the files' digests: they are pickles.

        Raises:
            InputError: DeepSpeed finds no state in the directory.
        """
        tag = _UNIVERSAL_TAG if self._config.load_universal else _MODEL_TAG
        groups = self._engine.optimizer.param_groups
        settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
        path, _ = self._engine.load_checkpoint(str(directory), tag=tag, load_lr_scheduler_states=False)
        if path is None:
            raise InputError(f"checkpoint {directory}: no DeepSpeed state {tag!r} in it; delete the folder to restart")
        # A universal load gives every group the settings of the first one, and (ZeRO-3) all parameters one and the
        # same step tensor, which AdamW would then count up once per parameter.
        for group, kept in zip(groups, settings, strict=True):
            group.update(kept)
        for state in self._torch_optimizer.state.values():
            if isinstance(state.get("step"), torch.Tensor):
                state["step"] = state["step"].clone()


def convert_to_universal(source: Path, directory: Path, *, zero_stage: int) -> None:
    """Write into `directory` what `save` left in `source`, loadable at any number of ranks. One rank calls it.

    Raises:
        ConfigError: ZeRO-0 state, which DeepSpeed cannot convert.
    """
    if zero_stage == 0:
        raise ConfigError(
            "parallelism.zero_stage: 0 -> 1, 2 or 3 (a checkpoint of ZeRO-0 cannot be resumed at another number of "
            "ranks; resume it at the same number, or train with zero_stage >= 1)"
        )
    from argparse import Namespace

    from deepspeed.checkpoint import ds_to_universal

    arguments = Namespace(
        input_folder=str(source / _MODEL_TAG),
        output_folder=str(directory / _UNIVERSAL_TAG),
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )
    # The converter prints a progress report; it belongs in no log of ours.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ds_to_universal.main(arguments)


def _deepspeed_config(config: EngineConfig, num_trained: int) -> Mapping[str, object]:
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": config.num_micro_batches,
        "gradient_clipping": config.max_grad_norm,
        "steps_per_print": _NEVER,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": config.zero_stage,
            "overlap_comm": False,
            "contiguous_gradients": True,
            # Allocated anew in each step: no larger than all gradients, or a small model touches fresh pages of 2 GB.
            "reduce_bucket_size": min(_REDUCE_BUCKET_SIZE, num_trained),
            # Small tensors (norms, biases) stay whole: gathering them one by one costs more than they weigh.
            "stage3_param_persistence_threshold": 10_000,
        },
        "bf16": {"enabled": config.is_bf16},
        "checkpoint": {"load_universal": config.load_universal},
    }
