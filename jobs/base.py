"""The `base` stage: the tokenizer and the two pretrained parts that the tiny and smol profiles start from."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.errors import ConfigError
from mimo_vl.training.base_pretrained import pretrained_language_model
from mimo_vl.training.base_stage import BaseStage


def main(ctx: StageContext) -> Mapping[str, float]:
    config, synthesis = ctx.config.base, ctx.config.data.synthesis
    if config is None or synthesis is None:
        raise ConfigError(
            f"base, data.synthesis: null in profile {ctx.config.profile}, so the stage has nothing to train; "
            "give tokenizer, vision tower and language model as spec.inputs and drop the stage"
        )
    stage = BaseStage(
        model=ctx.config.model,
        config=config,
        seed=ctx.config.seed,
        heldout_fraction=synthesis.heldout_fraction,
        out_dir=ctx.out_dir,
        language_path=pretrained_language_model(ctx.config.model.language_source),
    )
    with tempfile.TemporaryDirectory(prefix="mimo-base-") as scratch:
        return stage.run(lambda step, total, loss: ctx.progress(step, total, loss=loss), Path(scratch))


if __name__ == "__main__":
    sys.exit(run_stage(main))
