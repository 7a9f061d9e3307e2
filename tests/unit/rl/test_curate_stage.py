"""What curate-rl leaves: prompts by pass rate, pairs judged in both orders, held out by source, whoever answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from mimo_vl.config.rl import CurateRlConfig
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.rewards.judge import Choice
from mimo_vl.rl.answer_pool import Answerer, answer_pool
from mimo_vl.rl.curate_stage import BASE, SFT, Curator, OnProgress, write_report
from mimo_vl.schema.reward import ScoreRequest, ScoreResult, ScoreStatus
from mimo_vl.schema.sample import MediaRef, PreferencePair, Sample
from mimo_vl.vocabulary import RlFamily
from tests.fakes.answering import FakeEncoder, FakeEngine
from tests.fakes.curation_world import picture, prompt, write_dataset

COUNTING, PREFERENCE = RlFamily.COUNTING, RlFamily.PREFERENCE_TEXT
PICTURE = picture()

# Answers are rewards, "?" could not be judged. Two per prompt: pass rates 1, 1/2, 0, unknown, 1/4.
REWARDS = {"c0": ("1", "1"), "c1": ("1", "0"), "c2": ("0", "0"), "c3": ("?", "1"), "c4": ("0.25", "0.25")}
# The SFT model's three answers to every query of text, and the base model's one: of odd queries one that SFT gave too.
OWN, OTHER = ("a", "bbb", "bbb"), ("cc", "a")
# The judge follows the position here.
FIRST_WINS = "t7"


class HalfSizeEncoder(FakeEncoder):
    """The model sees pictures at half their size."""

    def resized_size(self, media: MediaRef) -> tuple[int, int]:
        return media.width // 2, media.height // 2


class RewardInText:
    def __init__(self) -> None:
        self.requests: list[ScoreRequest] = []

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        self.requests += requests
        return [_result(r.id, None if r.response == "?" else float(r.response)) for r in requests]


def _result(name: str, reward: float | None) -> ScoreResult:
    status = ScoreStatus.TIMEOUT if reward is None else ScoreStatus.SCORED
    return ScoreResult(id=name, reward=reward, status=status, reward_name="text", version="1")


class LongerWins:
    name = "longer"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def compare(self, query: Sample, a: str, b: str) -> Choice:
        self.asked.append((query.id, a, b))
        return Choice.A if query.id == FIRST_WINS or len(a) > len(b) else Choice.B


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Eight queries of text, two of each source; two multimodal ones, of which the second gets equal answers only."""
    folder = tmp_path / "curated"
    write_dataset(folder / "rl-counting", [prompt(name, family=COUNTING, has_picture=name == "c1") for name in REWARDS])
    write_dataset(folder / "rl-preference_text", [prompt(f"p{i}", family=PREFERENCE) for i in range(3)])
    write_dataset(folder / "queries-text", [prompt(f"t{i}", sources=(f"source-{i // 2}",)) for i in range(8)])
    write_dataset(
        folder / "queries-multimodal", [prompt(f"m{i}", sources=(f"photo-{i}",), has_picture=True) for i in range(2)]
    )
    return folder


def _own(name: str, index: int) -> str:
    if name in REWARDS:
        return REWARDS[name][index]
    return {"m0": ("x", "yy", "x"), "m1": ("z", "z", "z")}.get(name, OWN)[index]


def _others(name: str, index: int) -> str:
    assert index == 0
    return {"m0": "x", "m1": "z"}.get(name) or OTHER[int(name[1:]) % 2]


def _curate(
    source: Path, out: Path, *, num_workers: int = 1, on_progress: OnProgress = lambda *_: None
) -> tuple[dict[str, dict[str, int]], RewardInText, LongerWins]:
    encoder, scorer, judge = cast("SampleEncoder", HalfSizeEncoder()), RewardInText(), LongerWins()
    curator = Curator(
        config=CurateRlConfig(
            rollouts_per_prompt=2,
            min_prompts_per_family=3,
            answers_per_query=3,
            base_answers_per_query=1,
            max_pairs_per_query=2,
            heldout_pair_fraction=0.25,
        ),
        seed=0,
        source_dir=source,
        out_dir=out,
        encoder=encoder,
        scorer=scorer,
        judge=judge,
        on_progress=on_progress,
        families=[COUNTING, PREFERENCE],
    )
    engines = {SFT: lambda: FakeEngine(_own), BASE: lambda: FakeEngine(_others)}
    with answer_pool(Answerer(load_engines=engines, encoder=encoder), num_workers=num_workers) as pool:
        report = curator.curate(pool)
    write_report(out, report)
    return report, scorer, judge


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _pairs(out: Path, name: str) -> list[PreferencePair]:
    return [PreferencePair.from_json(line) for line in (out / "pairs" / f"{name}.jsonl").read_bytes().splitlines()]


def _ids(out: Path, name: str) -> list[str]:
    dataset = IndexedDataset(out / "datasets" / name)
    return [dataset.sample(i).id for i in range(len(dataset))]


def test_the_counts_say_what_became_of_every_prompt_and_every_two_answers(source: Path, tmp_path: Path) -> None:
    report, _, _ = _curate(source, tmp_path / "out")
    # c1 and c4 are kept; a third one is wanted, and c2, never solved, goes before c0, too easy.
    assert report["rl-counting"] == {"kept": 2, "kept_to_fill": 1, "too_easy": 1, "unjudged": 1}
    # A model score has no pass rate: all prompts stay.
    assert report["rl-preference_text"] == {"kept": 3}
    # Four even queries: {a, bbb, cc} gives 2 pairs and 1 over the cap; t1, t3, t5: {a, bbb} gives 1; t7: none.
    pairs = report["pairs-text"]
    assert (pairs["kept"], pairs["over_cap"], pairs["order_dependent"]) == (11, 4, 1)
    assert pairs["train_pairs"] + pairs["heldout_pairs"] == 11
    # m0: {x, yy}, m1: {z}. Of two sources a quarter is round(0.5) = 0 held out.
    assert report["pairs-multimodal"] == {"kept": 1, "train_pairs": 1, "heldout_pairs": 0}
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == report


def test_what_is_kept_is_written_with_its_media_and_costs(source: Path, tmp_path: Path) -> None:
    _curate(source, tmp_path)
    assert _ids(tmp_path, "rl-counting") == ["c1", "c2", "c4"]
    kept = IndexedDataset(tmp_path / "datasets" / "rl-counting")
    assert (kept[0].media, kept[1].media) == ((PICTURE,), ())
    assert [kept.cost(i) for i in range(3)] == [(11, 24), (12, 0), (14, 0)]
    assert _ids(tmp_path, "rl-preference_text") == ["p0", "p1", "p2"]
    # Queries without a pair are left out.
    assert _ids(tmp_path, "pairs-text") == [f"t{i}" for i in range(7)]
    assert _ids(tmp_path, "pairs-multimodal") == ["m0"]
    assert IndexedDataset(tmp_path / "datasets" / "pairs-multimodal")[0].media == (PICTURE,)


def test_the_rewards_of_every_prompt_are_written_beside_its_fate(source: Path, tmp_path: Path) -> None:
    _, scorer, _ = _curate(source, tmp_path)
    assert [path.name for path in (tmp_path / "pass_rates").iterdir()] == ["counting.jsonl"]
    lines = [json.loads(line) for line in (tmp_path / "pass_rates" / "counting.jsonl").read_text().splitlines()]
    assert [(line["rate"]["prompt_id"], line["fate"], line["rate"]["rewards"]) for line in lines] == [
        ("c0", "too_easy", [1.0, 1.0]),
        ("c1", "kept", [1.0, 0.0]),
        ("c2", "kept_to_fill", [0.0, 0.0]),
        ("c3", "unjudged", [None, 1.0]),
        ("c4", "kept", [0.25, 0.25]),
    ]
    # Scored as the model saw it: half of 56 x 84.
    assert [(m.width, m.height) for r in scorer.requests if r.id == "c1/0" for m in r.media] == [(28, 42)]
    assert [r.id for r in scorer.requests] == [f"{name}/{number}" for name in REWARDS for number in (0, 1)]


def test_every_two_different_answers_are_judged_in_both_orders(source: Path, tmp_path: Path) -> None:
    _, _, judge = _curate(source, tmp_path)
    asked = {(a, b) for query, a, b in judge.asked if query == "t0"}
    assert asked == {("a", "bbb"), ("bbb", "a"), ("a", "cc"), ("cc", "a"), ("bbb", "cc"), ("cc", "bbb")}
    # 4 queries x 3, 4 queries x 1 and m0's pair, each twice.
    assert len(judge.asked) == 2 * (4 * 3 + 4 + 1)


def test_pairs_name_the_better_answer_and_which_model_gave_each(source: Path, tmp_path: Path) -> None:
    _curate(source, tmp_path)
    found: dict[str, list[tuple[str, ...]]] = {}
    for pair in [*_pairs(tmp_path, "text-train"), *_pairs(tmp_path, "text-heldout")]:
        ranked = (pair.chosen, pair.chosen_by, pair.rejected, pair.rejected_by)
        found.setdefault(pair.prompt.id, []).append(ranked)
    assert found["t2"] == [("bbb", "sft", "a", "sft"), ("cc", "base", "a", "sft")]
    # "a" came from both models: it is the SFT model's.
    assert found["t3"] == [("bbb", "sft", "a", "sft")]
    assert FIRST_WINS not in found


def test_held_out_pairs_share_no_source_with_training_pairs(source: Path, tmp_path: Path) -> None:
    _curate(source, tmp_path)
    sides = [
        {source_id for pair in _pairs(tmp_path, f"text-{side}") for source_id in pair.prompt.source_ids}
        for side in ("train", "heldout")
    ]
    # A quarter of four sources.
    assert [len(sources) for sources in sides] == [3, 1]
    assert sides[0].isdisjoint(sides[1])


def test_one_and_two_workers_write_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for num_workers in (1, 2):
        _curate(source, tmp_path / str(num_workers), num_workers=num_workers)
    first, second = _files(tmp_path / "1"), _files(tmp_path / "2")
    names = {name for name in first if not name.startswith("datasets/")}
    pairs = {f"pairs/{kind}-{side}.jsonl" for kind in ("text", "multimodal") for side in ("train", "heldout")}
    assert names == pairs | {"pass_rates/counting.jsonl", "report.json"}
    assert first == second


def test_progress_names_what_was_answered_and_a_stop_goes_through(source: Path, tmp_path: Path) -> None:
    done: dict[str, int] = {}

    def count(what: str, num_prompts: int) -> None:
        done[what] = done.get(what, 0) + num_prompts

    _curate(source, tmp_path, on_progress=count)
    expected: Mapping[str, int] = {
        "rl-counting sft": 5,
        "queries-text sft": 8,
        "queries-text base": 8,
        "queries-multimodal sft": 2,
        "queries-multimodal base": 2,
    }
    assert done == expected

    def stop(what: str, num_prompts: int) -> None:
        raise KeyboardInterrupt(f"{what} {num_prompts}")

    with pytest.raises(KeyboardInterrupt, match="rl-counting sft 5"):
        _curate(source, tmp_path / "stopped", on_progress=stop)
    assert not (tmp_path / "stopped" / "report.json").exists()
