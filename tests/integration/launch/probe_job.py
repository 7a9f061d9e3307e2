"""A stage that does what its first argument says; run by the launcher's tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.errors import InputError, InterruptedAfterSaveError


def main(ctx: StageContext) -> Mapping[str, float]:
    behaviour = sys.argv[1]
    (ctx.checkpoint_dir.parent / f"pid-{ctx.rank}").write_text(str(os.getpid()))
    if behaviour == "publish":
        if ctx.is_main:
            (ctx.out_dir / "answer.txt").write_text("42")
        ctx.progress(3, 3, message="done", loss=0.5)
        return {"loss_last": 0.5}
    if behaviour == "bad-input" and ctx.rank == 1:
        raise InputError("sample 7 has no image; add one")
    if behaviour == "die" and ctx.rank == 1:
        while not (ctx.checkpoint_dir.parent / "pid-0").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "out-of-memory":
        raise MemoryError("cannot allocate 8 GiB")
    if behaviour == "orphan":
        orphan = subprocess.Popen(["sleep", "600"], start_new_session=True)
        (ctx.checkpoint_dir.parent / "pid-orphan").write_text(str(orphan.pid))
        return {}
    if behaviour == "ignore-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(ctx.checkpoint_dir.parent / f"ignoring-{ctx.rank}").touch()
        time.sleep(600)
    deadline_s = time.monotonic() + 60
    while not ctx.should_stop() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    raise InterruptedAfterSaveError("saved step 4")


if __name__ == "__main__":
    sys.exit(run_stage(main))
