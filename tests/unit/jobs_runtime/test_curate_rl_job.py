"""Stage `curate-rl` as a process sees it: two checkpoints and prompts in, kept prompts and pairs out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.curate_rl import main
from jobs.runtime import run_stage
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.model.checkpoint import save_model
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.layout import attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.vocabulary import RlFamily, StageName
from tests.fakes.curation_world import prompt, write_dataset
from tests.fakes.tiny_vlm import build_model

pytestmark = pytest.mark.timeout(120)

RUN_ID = "local/demo/abcd1234"
NUM_PROMPTS, NUM_QUERIES = 3, 2
OTHER_FAMILIES = [family for family in RlFamily if family not in (RlFamily.COUNTING, RlFamily.CUSTOM)]
OVERRIDES = [
    "tracking.kind='null'",
    *(f"rl.family_weights.{family}=0" for family in OTHER_FAMILIES),
    "rewards.math_workers=1",
    "curate_rl.num_workers=1",
    "curate_rl.rollouts_per_prompt=2",
    "curate_rl.answers_per_query=2",
    "curate_rl.max_new_tokens=4",
    "curate_rl.min_prompts_per_family=2",
]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Of an attempt whose models are random: no answer of theirs is right, and none is better than another."""
    store, made = LocalStore(tmp_path / "store"), tmp_path / "made"
    tokenizer = train_bpe(["question boxed user assistant"] * 4, vocab_size=320)
    for seed, stage in enumerate((StageName.BASE, StageName.LONG_CONTEXT_SFT)):
        end = tokenizer.special_ids.turn_end
        save_model(build_model(seed, vocab_size=tokenizer.vocab_size, end_token=end), made / stage / "model")
        tokenizer.save(made / stage / "model")
    datasets = made / StageName.CURATE / "datasets"
    write_dataset(datasets / "rl-counting", [prompt(f"c{i}", family=RlFamily.COUNTING) for i in range(NUM_PROMPTS)])
    for kind in ("text", "multimodal"):
        records = [prompt(f"{kind}-{i}", has_picture=kind == "multimodal") for i in range(NUM_QUERIES)]
        write_dataset(datasets / f"queries-{kind}", records)
    (tmp_path / "config.yaml").write_text(dump_config(compose("tiny", OVERRIDES)))
    env = StageEnvironment(
        namespace="local",
        pipeline="demo",
        run_id=RUN_ID,
        stage=StageName.CURATE_RL,
        attempt=1,
        config_path=tmp_path / "config.yaml",
        inputs={path.name: _publish(store, path) for path in sorted(made.iterdir())},
        output_uri=store.uri(attempt_prefix(RUN_ID, "curate-rl", 1)),
        stage_key="sha256:key",
    )
    return env.to_environ()


def _publish(store: LocalStore, folder: Path) -> InputRef:
    name = folder.name
    manifest = publish_directory(store, f"made/{name}", folder, stage=name, attempt=1, run_id="made", stage_key="k")
    return InputRef(uri=store.uri(f"made/{name}"), digest=manifest.content_digest)


def test_the_stage_leaves_prompts_pairs_and_their_counts(tmp_path: Path, environ: dict[str, str]) -> None:
    assert run_stage(main, environ) == 0
    attempt = tmp_path / "store" / attempt_prefix(RUN_ID, "curate-rl", 1)
    metrics = json.loads((attempt / "manifest.json").read_text())["metrics"]
    output = attempt / "output"
    report = json.loads((output / "report.json").read_text())
    # Nothing is ever solved, and two prompts are wanted all the same.
    assert report["rl-counting"] == {"kept_to_fill": 2, "never_solved": 1}
    assert (metrics["prompts"], metrics["prompts_kept"]) == (3.0, 2.0)
    kept = IndexedDataset(output / "datasets" / "rl-counting")
    assert [kept.sample(i).id for i in range(len(kept))] == ["c0", "c1"]
    for kind in ("text", "multimodal"):
        pairs = report[f"pairs-{kind}"]
        num_lines = sum(len(p.read_bytes().splitlines()) for p in (output / "pairs").glob(f"{kind}-*.jsonl"))
        assert num_lines == pairs["train_pairs"] + pairs["heldout_pairs"] == pairs.get("kept", 0)
    assert metrics["train_pairs"] == sum(report[f"pairs-{kind}"]["train_pairs"] for kind in ("text", "multimodal"))
    rates = [json.loads(line) for line in (output / "pass_rates" / "counting.jsonl").read_text().splitlines()]
    assert [(r["rate"]["num_answers"], r["rate"]["num_solved"]) for r in rates] == [(2, 0)] * NUM_PROMPTS
