"""A stage that counts to `evaluation.num_pictures`, saves every step and behaves as files in FAKE_STAGE_DIR say.

<dir>/<stage>.slow       wait between steps until the file is gone
<dir>/<stage>.exit       end with this exception class name, once
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.errors import InterruptedAfterSaveError, PermanentError
from mimo_vl.storage.checkpoints import newest_complete

NUM_STEPS = 3


def main(ctx: StageContext) -> dict[str, float]:
    # Every rank counts; rank 0 alone keeps the books.
    switches = Path(os.environ["FAKE_STAGE_DIR"])
    total = _restored(ctx)
    start = total["step"]
    if ctx.is_main:
        _note(switches, ctx, f"start-{ctx.attempt}-at-{start}")
    for step in range(start + 1, NUM_STEPS + 1):
        total = {"step": step, "sum": total["sum"] + step}
        ctx.progress(step, NUM_STEPS, loss=1.0 / step)
        ctx.tracker.log_metrics({"loss": 1.0 / step, "loss_ocr": 0.5 / step, "tokens_per_s": 100.0 * step}, step)
        _save(ctx, total)
        _obey(switches, ctx)
    inputs = {name: sorted(p.name for p in ctx.input_dir(name).iterdir()) for name in sorted(ctx.inputs)}
    if ctx.is_main:
        (ctx.out_dir / "result.json").write_text(json.dumps({"sum": total["sum"], "inputs": inputs}, sort_keys=True))
        if ctx.stage == "finalize":
            _finalize(ctx)
    return {"steps": NUM_STEPS, "tokens": 100.0, "loss_first": 1.0, "loss_last": 0.25}


def _restored(ctx: StageContext) -> dict[str, int]:
    newest = newest_complete(ctx.resume_from) if ctx.resume_from else None
    return {"step": 0, "sum": 0} if newest is None else json.loads((newest / "total.json").read_text())


def _save(ctx: StageContext, total: dict[str, int]) -> None:
    if not ctx.is_main:
        return
    folder = ctx.checkpoint_dir / f"step-{total['step']}"
    folder.mkdir(parents=True)
    (folder / "total.json").write_text(json.dumps(total))
    ctx.complete_checkpoint(total["step"], keep=2)


def _obey(switches: Path, ctx: StageContext) -> None:
    once = switches / f"{ctx.stage}.exit"
    if ctx.is_main and once.exists():
        kind = once.read_text()
        once.unlink()
        raise {"PermanentError": PermanentError, "RuntimeError": RuntimeError}[kind](f"asked for {kind}")
    while (switches / f"{ctx.stage}.slow").exists():
        if ctx.should_stop():
            raise InterruptedAfterSaveError("stopped after saving")
        time.sleep(0.02)


def _note(switches: Path, ctx: StageContext, text: str) -> None:
    with (switches / f"{ctx.stage}.trace").open("a") as file:
        file.write(text + "\n")


def _finalize(ctx: StageContext) -> None:
    family = {"name": "counting", "n": 200, "base": 0.1, "sft": 0.5, "rl": 0.6, "rl_minus_sft_ci": [0.02, 0.18]}
    mean = {"sft": 0.5, "rl": 0.6, "rl_minus_sft_ci": [0.05, 0.15]}
    summary = {"stages": [], "families": [family], "mean_reward": mean}
    (ctx.out_dir / "summary.json").write_text(json.dumps(summary))
    (ctx.out_dir / "report.html").write_text("<html>report</html>")


if __name__ == "__main__":
    sys.exit(run_stage(main))
