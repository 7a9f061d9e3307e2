"""Pairs: both orders must agree, ties and position bias are counted, queries never cross the split."""

from __future__ import annotations

from mimo_vl.rewards.judge import Choice
from mimo_vl.rl.preference import PairCounts, heldout_queries, rank_pairs
from mimo_vl.schema.sample import AnswerModel, Message, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, Split


def _query(name: str, *sources: str) -> Sample:
    return Sample(
        id=name,
        data_type=DataType.INSTRUCTION,
        language=Language.EN,
        split=Split.TRAIN,
        messages=(Message(role="user", parts=(TextPart(text="?"),)),),
        source_ids=sources,
    )


def _answers(*own: str) -> dict[str, AnswerModel]:
    return dict.fromkeys(own, AnswerModel.SFT)


class LongerWins:
    name = "longer"

    def compare(self, query: Sample, a: str, b: str) -> Choice:
        if len(a) == len(b):
            return Choice.TIE
        return Choice.A if len(a) > len(b) else Choice.B


class FirstWins:
    name = "first"

    def compare(self, query: Sample, a: str, b: str) -> Choice:
        return Choice.A


def test_the_better_answer_is_chosen_wherever_it_stands() -> None:
    counts = PairCounts()
    pairs = rank_pairs(_query("q"), _answers("a", "ccc", "bb"), LongerWins(), max_pairs=9, counts=counts)
    assert [(p.chosen, p.rejected) for p in pairs] == [("ccc", "a"), ("bb", "a"), ("ccc", "bb")]
    assert {p.judge for p in pairs} == {"longer"}
    assert len({p.id for p in pairs}) == 3
    assert counts.counts == {"kept": 3}


def test_a_pair_knows_which_model_gave_each_answer() -> None:
    answers = _answers("aa", "bbb") | {"c": AnswerModel.BASE}
    pairs = rank_pairs(_query("q"), answers, LongerWins(), max_pairs=9, counts=PairCounts())
    assert [(p.chosen_by, p.rejected_by) for p in pairs] == [("sft", "sft"), ("sft", "base"), ("sft", "base")]


def test_a_judge_that_follows_the_position_yields_no_pair() -> None:
    counts = PairCounts()
    assert rank_pairs(_query("q"), _answers("a", "b"), FirstWins(), max_pairs=9, counts=counts) == []
    assert counts.counts == {"order_dependent": 1}


def test_ties_and_pairs_over_the_cap_are_left_out_and_counted() -> None:
    counts = PairCounts()
    pairs = rank_pairs(_query("q"), _answers("a", "b", "cc", "ddd"), LongerWins(), max_pairs=2, counts=counts)
    # a-b tie; a-cc, a-ddd kept; b-cc, b-ddd, cc-ddd over the cap.
    assert [(p.chosen, p.rejected) for p in pairs] == [("cc", "a"), ("ddd", "a")]
    assert counts.counts == {"ties": 1, "kept": 2, "over_cap": 3}


def test_queries_of_the_same_sources_are_on_the_same_side() -> None:
    queries = [_query(f"q{i}", f"source-{i // 2}", "common") for i in range(40)]
    heldout = heldout_queries(queries, seed=0, fraction=0.25)
    # 20 distinct source sets, a quarter of them: 5 sets of 2 queries.
    assert len(heldout) == 10
    assert all((f"q{2 * i}" in heldout) == (f"q{2 * i + 1}" in heldout) for i in range(20))
    assert heldout != heldout_queries(queries, seed=1, fraction=0.25)
