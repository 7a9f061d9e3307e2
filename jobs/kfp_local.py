"""A compiled package on one machine: kfp.local executes its steps, `mimo run` the stages that they follow.

kfp has an environment of its own (`make setup-kfp`), so the two are processes: this module is the main program of
both, `execute` the one that needs kfp. The steps come to the run folder as they come to a cluster: they make the
pipeline, and somebody else controls it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from jobs.cli_run import RunRequest, run_pipeline
from jobs.kfp_settings import local_step_environment
from mimo_vl.errors import EXIT_RESUME, ConfigError
from operators.mimo_pipeline.api import TERMINAL_PHASES
from operators.mimo_pipeline.builders.process import STAGE_MODULES
from operators.mimo_pipeline.code_digest import project_root
from operators.mimo_pipeline.kubeflow.package import PACKAGES
from operators.mimo_pipeline.local.state import PipelineObject, RunFolder

logger = logging.getLogger(__name__)

_TICK_S = 0.2
_STEPS_FOLDER = "kfp"
# The steps notice within a tick or two that the stages have ended.
_END_GRACE_S = 120.0
DEFAULT_KFP_PYTHON = project_root() / ".venv-kfp" / "bin" / "python"


def execute(package: Path, parameters: Mapping[str, Any], outputs: Path) -> None:
    """Run every step in a process of this environment; raises RuntimeError when one fails.

    Without `run_dir` among the parameters the steps go to the cluster of the kubeconfig.
    """
    from kfp import components, local

    outputs.mkdir(parents=True, exist_ok=True)
    # The image is not used here: the steps run in the environment that has kfp and our sources.
    warnings.filterwarnings("ignore", message=".*non-Python base image")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(outputs))
    # Each step writes its program into a new temporary folder, and leaves it there.
    with TemporaryDirectory(prefix="mimo-kfp-") as scratch:
        os.environ["TMPDIR"] = scratch
        components.load_component_from_file(str(package))(**parameters)


def run_on_this_machine(
    request: RunRequest,
    *,
    kfp_python: Path = DEFAULT_KFP_PYTHON,
    package: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    modules: Mapping[str, str] = STAGE_MODULES,
    console: Console | None = None,
) -> int:
    """Exit code of the steps; 75 when asked to stop. Calling it again goes on, as `mimo run` does."""
    if not kfp_python.is_file():
        raise ConfigError(f"--kfp-python: no {kfp_python}; make the environment of kfp with: make setup-kfp")
    folder = RunFolder(request.run_dir)
    steps = _start_steps(request, kfp_python, package or PACKAGES / f"{request.profile}.yaml", parameters or {})
    try:
        while steps.poll() is None:
            if not _wants_control(folder.load_or_none()):
                time.sleep(_TICK_S)
            elif run_pipeline(request, console=console, modules=modules) == EXIT_RESUME:
                return EXIT_RESUME
            else:
                _await_end(steps, folder)
        return steps.returncode
    finally:
        if steps.poll() is None:
            steps.terminate()
            steps.wait()


def _start_steps(
    request: RunRequest, kfp_python: Path, package: Path, parameters: Mapping[str, Any]
) -> subprocess.Popen[bytes]:
    values = {
        "profile": request.profile,
        "overrides": list(request.overrides),
        "stages": list(request.stages),
        "through": request.through,
        "run_dir": str(request.run_dir.absolute()),
        "kfp_endpoint": "",
        **parameters,
    }
    outputs = request.run_dir.absolute() / _STEPS_FOLDER
    command = [str(kfp_python), "-m", "jobs.kfp_local", "--execute", str(package), json.dumps(values), str(outputs)]
    return subprocess.Popen(command, cwd=project_root(), env=local_step_environment(project_root()))


def _wants_control(pipeline: PipelineObject | None) -> bool:
    if pipeline is None:
        return False
    retry = pipeline.spec.retry
    has_open_retry = retry is not None and retry.nonce != pipeline.status.handled_retry_nonce
    return has_open_retry or pipeline.status.phase not in TERMINAL_PHASES


def _await_end(steps: subprocess.Popen[bytes], folder: RunFolder) -> None:
    """The stages have ended; so do the steps, unless one of them asks for more."""
    until_s = time.monotonic() + _END_GRACE_S
    while steps.poll() is None and time.monotonic() < until_s and not _wants_control(folder.load_or_none()):
        time.sleep(_TICK_S)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run a package of Kubeflow Pipelines on this machine.")
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/kfp"))
    parser.add_argument("--override", action="append", default=[])
    parser.add_argument("--through", default="")
    parser.add_argument("--kfp-python", type=Path, default=DEFAULT_KFP_PYTHON)
    only_steps = ("PACKAGE", "PARAMETERS", "FOLDER")
    parser.add_argument(
        "--execute", nargs=3, metavar=only_steps, help="only the steps, here or on a cluster; needs kfp"
    )
    chosen = parser.parse_args(arguments)
    if chosen.execute:
        package, values, outputs = chosen.execute
        execute(Path(package), json.loads(values), Path(outputs))
        return 0
    request = RunRequest(
        profile=chosen.profile, run_dir=chosen.run_dir, overrides=tuple(chosen.override), through=chosen.through
    )
    return run_on_this_machine(request, kfp_python=chosen.kfp_python)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    sys.exit(main())
