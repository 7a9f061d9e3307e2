"""The `curate` stage: split sources, make every dataset of the profile and of own data, write the report."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.config.data import CustomDataConfig
from mimo_vl.data.custom.publish import CUSTOM_DATA
from mimo_vl.data.pipelines.curate import CustomSource, Workshop
from mimo_vl.data.pipelines.write import REPORT_FILE, write_datasets
from mimo_vl.data.report_metrics import curation_metrics
from mimo_vl.errors import ConfigError, InterruptedAfterSaveError
from mimo_vl.rewards.verifiers.custom import load_custom_verifier
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage.layout import data_prefix
from mimo_vl.vocabulary import StageName


def main(ctx: StageContext) -> Mapping[str, float]:
    data = ctx.config.data
    if data.synthesis is None and data.custom is None:
        raise ConfigError(
            f"data.synthesis, data.custom: null in profile {ctx.config.profile}, so `curate` has nothing to make; "
            "give curated datasets as spec.inputs and drop the stage, or own data as data.custom"
        )
    # Not used here; a wrong one shall stop the run before it trains.
    load_custom_verifier(ctx.config.rewards)
    workshop = Workshop(
        synthesis=data.synthesis,
        custom=None if data.custom is None else _custom_source(ctx, data.custom),
        processing=ctx.config.processing,
        seed=ctx.config.seed,
        tokenizer_dir=ctx.input_dir(StageName.BASE) / "tokenizer",
    )

    def on_shard(done: int, total: int, name: str) -> None:
        ctx.progress(done, total, unit="shards", message=name)
        if ctx.should_stop():
            raise InterruptedAfterSaveError(f"stopped after {done} of {total} shards; the next attempt curates anew")

    infos = write_datasets(
        workshop,
        ctx.out_dir,
        num_workers=data.num_workers,
        on_shard=on_shard,
    )
    ctx.shown.record(curation_metrics(json.loads((ctx.out_dir / REPORT_FILE).read_bytes())))
    return {
        "samples": float(sum(i.num_samples for i in infos.values())),
        "tokens": float(sum(i.num_tokens for i in infos.values())),
        "patches": float(sum(i.num_patches for i in infos.values())),
        "datasets": float(len(infos)),
    }


def _custom_source(ctx: StageContext, custom: CustomDataConfig) -> CustomSource:
    uri = custom.uri or ctx.store.uri(data_prefix(custom.digest))
    ctx.add_input(CUSTOM_DATA, InputRef(uri=uri, digest=custom.digest))
    return CustomSource(folder=ctx.input_dir(CUSTOM_DATA), heldout_fraction=custom.heldout_fraction)


if __name__ == "__main__":
    sys.exit(run_stage(main))
