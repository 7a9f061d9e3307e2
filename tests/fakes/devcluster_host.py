"""A machine for the scripts of the development cluster on which every program that would change it only says it ran."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

DEVCLUSTER = Path(__file__).parents[2] / "devcluster"
# Each line: program and arguments, separated by the unit separator, which no argument has.
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class FakeHost:
    """`root` is MIMO_CLUSTER_ROOT; what is in its bin folder goes before the machine's own programs."""

    root: Path

    def __post_init__(self) -> None:
        (self.root / "bin").mkdir(parents=True)
        # Whoever runs the tests.
        self.add("id", "echo 0")
        # A cluster may be running on this machine, and its rules stay. None is there: --check fails.
        self.add("iptables", 'case "$*" in *--check*) exit 1 ;; esac')

    def add(self, name: str, body: str = "") -> None:
        """A program that records its arguments, then runs `body` in the shell."""
        path = self.root / "bin" / name
        log = self.root / "calls"
        # At once: several programs write beside each other.
        line = f"line={name}; for a in \"$@\"; do line+=$'\\037'$a; done; printf '%s\\n' \"$line\" >>{log}"
        path.write_text(f"#!/bin/bash\n{line}\n{body}\n", encoding="utf-8")
        path.chmod(0o755)

    def add_real(self, name: str, program: str) -> Path:
        """A copy of a program of the machine under another name, so that its processes have that name."""
        path = self.root / "bin" / name
        shutil.copy(program, path)
        return path

    def run(self, script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", str(DEVCLUSTER / script), *arguments],
            env={"PATH": path, "HOME": str(self.root), "MIMO_CLUSTER_ROOT": str(self.root), **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def wait_for_call(self, name: str, deadline_s: float = 20.0) -> None:
        """Of a program that a script started and did not wait for."""
        until_s = time.monotonic() + deadline_s
        while not self.calls(name):
            assert time.monotonic() < until_s, f"{name} was not run within {deadline_s:.0f} s"
            time.sleep(0.02)

    def calls(self, name: str) -> list[list[str]]:
        """Arguments of every run of that program, in order."""
        log = self.root / "calls"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [words[1:] for line in lines if (words := line.split(_SEPARATOR))[0] == name]
