"""Which node of how many this launcher serves, and what its ranks must know to find each other.

Kubeflow's PyTorchJob and TrainJob both set PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR and PET_MASTER_PORT. Ranks are
static: a leaf job is one attempt without restarts, so nothing is left for an elastic agent to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mimo_vl.errors import ConfigError
from mimo_vl.free_port import free_port


@dataclass(frozen=True)
class Node:
    rank: int
    num_nodes: int
    master_addr: str
    master_port: int

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def rank_variables(self, local_rank: int, nproc: int) -> dict[str, str]:
        """The variables that torch.distributed reads. `nproc` is the same on every node."""
        return {
            "RANK": str(self.rank * nproc + local_rank),
            "LOCAL_RANK": str(local_rank),
            "WORLD_SIZE": str(self.num_nodes * nproc),
            "LOCAL_WORLD_SIZE": str(nproc),
            "GROUP_RANK": str(self.rank),
            "MASTER_ADDR": self.master_addr,
            "MASTER_PORT": str(self.master_port),
        }


def read_node(environ: Mapping[str, str]) -> Node:
    """One node on loopback unless PET_NNODES says otherwise.

    Raises:
        ConfigError: several nodes and a variable is missing or no number.
    """
    num_nodes = _number(environ, "PET_NNODES", "1")
    if num_nodes == 1:
        return Node(rank=0, num_nodes=1, master_addr="127.0.0.1", master_port=free_port())
    rank = _number(environ, "PET_NODE_RANK")
    if not 0 <= rank < num_nodes:
        raise ConfigError(f"PET_NODE_RANK: got {rank}, wanted 0 to {num_nodes - 1} (PET_NNODES is {num_nodes})")
    if not environ.get("PET_MASTER_ADDR"):
        raise ConfigError(f"PET_MASTER_ADDR: not set with PET_NNODES {num_nodes}; wanted the host of node 0")
    return Node(
        rank=rank,
        num_nodes=num_nodes,
        master_addr=environ["PET_MASTER_ADDR"],
        master_port=_number(environ, "PET_MASTER_PORT"),
    )


def _number(environ: Mapping[str, str], name: str, default: str = "") -> int:
    text = environ.get(name) or default
    if not text.isdecimal():
        raise ConfigError(f"{name}: got {text!r}, wanted a number; elastic ranges (min:max) are not supported")
    return int(text)
