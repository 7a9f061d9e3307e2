"""Starts real ranks over gloo on loopback, without a compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mimo_vl.free_port import free_port

ROOT = Path(__file__).resolve().parents[3]


def run_ranks(
    name: str, folder: Path, *, num_ranks: int, timeout_s: float = 400, program: str = "rank_program"
) -> list[int]:
    """Exit codes of the ranks of scenario `name` of a program in this folder. No ninja either: PATH is empty."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
        "PATH": str(folder / "empty"),
        "CXX": "",
        "WORLD_SIZE": str(num_ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
    }
    command = [sys.executable, "-m", f"tests.integration.training.{program}", name, str(folder)]
    ranks = [
        subprocess.Popen(command, cwd=ROOT, env=environ | {"RANK": str(r), "LOCAL_RANK": str(r)})
        for r in range(num_ranks)
    ]
    try:
        return [rank.wait(timeout_s) for rank in ranks]
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
                rank.wait()
