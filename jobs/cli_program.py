"""How this program was called: commands in messages work as they are printed, also where `mimo` is not on the PATH."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from operators.mimo_pipeline.naming import ANNOTATION_RUN_OPTIONS

if TYPE_CHECKING:
    from operators.mimo_pipeline.local.state import PipelineObject

NAME = "mimo"


def command(*words: str | Path) -> str:
    """For the shell: this program with these arguments."""
    return " ".join([_program(), shlex.join(str(word) for word in words)])


def go_on(pipeline: PipelineObject, run_dir: Path) -> str:
    """The command that goes on with a run of this machine: other options would be another run."""
    options = pipeline.metadata.annotations.get(ANNOTATION_RUN_OPTIONS)
    if options is None:
        spec = pipeline.spec
        options = shlex.join(["--profile", spec.profile, *(w for o in spec.overrides for w in ("--override", o))])
    return f"{command('run', '--run-dir', short(run_dir))} {options}"


def short(path: Path) -> str:
    """From here or from the root, whichever is shorter."""
    whole = str(path.absolute())
    return min(os.path.relpath(whole), whole, key=len)


def _program() -> str:
    called = Path(sys.argv[0])
    if called.name == "cli.py":
        return f"{shlex.quote(short(Path(sys.executable)))} -m jobs.cli"
    found = shutil.which(NAME)
    if called.name != NAME or (found is not None and Path(found).absolute() == called.absolute()):
        return NAME
    return shlex.quote(short(called))
