"""Stage `evaluate` as a process sees it: real checkpoints and datasets in, artifact out, with and without RL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.evaluate import RESPONSES, main
from jobs.runtime import run_stage
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.data.step import Tally
from mimo_vl.data.writers.dataset import seal_dataset
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.model.checkpoint import save_model
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.evaluation import Evaluation
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.layout import attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.vocabulary import StageName
from tests.fakes.evaluation_suite import NUM_ITEMS, records
from tests.fakes.tiny_vlm import build_model

pytestmark = pytest.mark.timeout(120)

RUN_ID = "local/demo/abcd1234"
FAMILIES = ("counting", "instruction")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalStore, dict[str, InputRef]]:
    """Three random checkpoints and the datasets of two families, as artifacts."""
    root = tmp_path_factory.mktemp("inputs")
    store = LocalStore(root / "store")
    tokenizer = train_bpe(["question? boxed user assistant"] * 4, vocab_size=400)
    for seed, stage in enumerate((StageName.BASE, StageName.LONG_CONTEXT_SFT, StageName.MORL)):
        model = build_model(seed, vocab_size=tokenizer.vocab_size, end_token=tokenizer.special_ids.turn_end)
        save_model(model, root / stage / "model")
        tokenizer.save(root / stage / "model")
    for family in FAMILIES:
        _write_dataset(root / StageName.CURATE / "datasets" / f"eval-{family}", family)
    names = (StageName.BASE, StageName.CURATE, StageName.LONG_CONTEXT_SFT, StageName.MORL)
    return store, {str(name): _publish(store, name, root / name) for name in names}


def _write_dataset(folder: Path, family: str) -> None:
    writer = ShardWriter(folder, 0)
    for record in records(family):
        writer.write(record, num_tokens=10, num_patches=0)
    seal_dataset(folder, folder.name, [writer.close(Tally(seen=NUM_ITEMS, kept=NUM_ITEMS))])


def _publish(store: LocalStore, stage: StageName, folder: Path) -> InputRef:
    manifest = publish_directory(store, f"made/{stage}", folder, stage=stage, attempt=1, run_id=RUN_ID, stage_key="k")
    return InputRef(uri=store.uri(f"made/{stage}"), digest=manifest.content_digest)


def _environ(root: Path, inputs: dict[str, InputRef], *, attempt: int = 1, resume_from_uri: str = "") -> dict[str, str]:
    tasks = ",".join(f"'tiny/{family}'" for family in FAMILIES)
    overrides = [
        "tracking.kind='null'",
        f"evaluation.tasks=[{tasks}]",
        "evaluation.num_workers=1",
        "evaluation.max_new_tokens=4",
    ]
    (root / "config.yaml").write_text(dump_config(compose("tiny", overrides)))
    env = StageEnvironment(
        namespace="local",
        pipeline="demo",
        run_id=RUN_ID,
        stage=StageName.EVALUATE,
        attempt=attempt,
        config_path=root / "config.yaml",
        inputs=inputs,
        output_uri=LocalStore(root / "store").uri(attempt_prefix(RUN_ID, "evaluate", attempt)),
        stage_key="sha256:key",
        resume_from_uri=resume_from_uri,
    )
    return env.to_environ()


def _attempt(root: Path, number: int = 1) -> Path:
    return root / "store" / attempt_prefix(RUN_ID, "evaluate", number)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_three_models_are_compared_on_every_item(
    tmp_path: Path, inputs: tuple[LocalStore, dict[str, InputRef]]
) -> None:
    assert run_stage(main, _environ(tmp_path, inputs[1])) == 0
    output = _attempt(tmp_path) / "output"
    evaluation = Evaluation.from_json((output / "evaluation.json").read_bytes())
    assert evaluation.models == ("base", "sft", "rl")
    assert [(f.name, f.n) for f in evaluation.families] == [(family, NUM_ITEMS) for family in FAMILIES]
    assert sorted(p.parent.name for p in (output / "sampled").rglob("*.jsonl")) == ["rl", "sft"]
    metrics = json.loads((_attempt(tmp_path) / "manifest.json").read_text())["metrics"]
    assert metrics["evaluation/score/rl/counting"] == evaluation.families[0].models["rl"].value


def test_graph_without_rl_is_evaluated_without_it(
    tmp_path: Path, inputs: tuple[LocalStore, dict[str, InputRef]]
) -> None:
    without_rl = {name: ref for name, ref in inputs[1].items() if name != StageName.MORL}
    assert run_stage(main, _environ(tmp_path, without_rl)) == 0
    evaluation = Evaluation.from_json((_attempt(tmp_path) / "output" / "evaluation.json").read_bytes())
    assert evaluation.models == ("base", "sft")
    assert evaluation.mean_reward.rl is None


def test_next_attempt_takes_over_the_answers_of_a_killed_one(
    tmp_path: Path, inputs: tuple[LocalStore, dict[str, InputRef]]
) -> None:
    assert run_stage(main, _environ(tmp_path, inputs[1])) == 0
    logs = _attempt(tmp_path) / "checkpoints" / RESPONSES
    torn = logs / "results" / "rl" / "counting.jsonl"
    torn.write_bytes(torn.read_bytes()[:-30])
    num_kept = sum(len(p.read_bytes().splitlines()) for p in logs.rglob("*.jsonl"))
    uri = LocalStore(tmp_path / "store").uri(attempt_prefix(RUN_ID, "evaluate", 1) + "/checkpoints")
    assert run_stage(main, _environ(tmp_path, inputs[1], attempt=2, resume_from_uri=uri)) == 0
    assert _files(_attempt(tmp_path, 2) / "output") == _files(_attempt(tmp_path) / "output")
    again = _attempt(tmp_path, 2) / "checkpoints" / RESPONSES
    assert sum(len(p.read_bytes().splitlines()) for p in again.rglob("*.jsonl")) == num_kept
