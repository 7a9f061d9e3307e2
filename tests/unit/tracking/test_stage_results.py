"""Plots, tables and cards made of what stages leave."""

from __future__ import annotations

import json

from mimo_vl.schema.evaluation import Picture
from mimo_vl.schema.rollout import Completion, ScoredGroup
from mimo_vl.tracking.data_card import data_card
from mimo_vl.tracking.params import flatten
from mimo_vl.tracking.stage_plots import pass_rate_plots, rl_plots, score_plots, training_plots
from mimo_vl.tracking.tables import prediction_rows, rollout_rows, table_json
from mimo_vl.vocabulary import RlFamily


def test_a_training_stage_shows_loss_per_data_type_and_packing_efficiency() -> None:
    history = [
        {"step": k, "loss": 3.0, "loss_by_group": {"ocr": 3.0}, "grad_norm": 1.0, "num_tokens": 700 + 100 * k}
        for k in (1, 2)
    ]
    plots = training_plots({"history": history, "row_tokens_per_step": 1000})
    assert sorted(plots) == [
        "plots/grad_norm.svg",
        "plots/loss.svg",
        "plots/loss_by_data_type.svg",
        "plots/packing_efficiency.svg",
    ]
    assert b"ocr" in plots["plots/loss_by_data_type.svg"]
    # From 800 to 900 of 1000 places.
    assert b">0.8<" in plots["plots/packing_efficiency.svg"]
    assert b">0.9<" in plots["plots/packing_efficiency.svg"]


def test_a_history_without_row_size_has_no_packing_efficiency() -> None:
    plots = training_plots({"history": [{"step": 1, "loss": 3.0, "loss_by_group": {}, "grad_norm": 1.0}]})
    assert sorted(plots) == ["plots/grad_norm.svg", "plots/loss.svg"]


def test_rl_shows_rewards_per_family_lengths_and_mismatch() -> None:
    line = {"step": 0, "rl/reward": 0.5, "rl/reward_by_family/counting": 0.25, "rl/completion_tokens": 8.0}
    line |= {"rl/logprob_gap": 1e-7, "rl/logprob_gap_max": 1e-6, "rl/valid_groups": 0.5, "rl/truncated": 0.1}
    plots = rl_plots([line, {**line, "step": 1}])
    assert {"plots/rewards_by_family.svg", "plots/response_length.svg", "plots/mismatch.svg"} <= set(plots)
    assert b"counting" in plots["plots/rewards_by_family.svg"]
    # No per-family share in these lines: no file.
    assert "plots/valid_groups.svg" not in plots


def test_pass_rates_and_scores_are_bars() -> None:
    plots = pass_rate_plots({"counting": [0.0, 0.5, 1.0, 0.5], "empty": []})
    assert b"counting" in plots["plots/pass_rates.svg"]
    # Mean of the four is 0.5; two of four are solved sometimes, but not always.
    assert b">0.5<" in plots["plots/useful_prompts.svg"]
    assert b"ocr / sft" in score_plots({"sft": {"ocr": 0.75}})["plots/scores.svg"]


def _group(step: int, rewards: tuple[float | None, ...]) -> ScoredGroup:
    completions = tuple(
        Completion(
            prompt_id="p",
            sample_index=i,
            token_ids=(1, 2),
            logprobs=(-1.0, -1.0),
            text=f"answer {i}",
            finish_reason="stop",
            weight_version=step,
        )
        for i in range(len(rewards))
    )
    return ScoredGroup(
        step=step, prompt_id="p", prompt_index=0, family=RlFamily.COUNTING, completions=completions, rewards=rewards
    )


def test_of_each_group_the_best_and_the_worst_response_are_shown() -> None:
    rows = rollout_rows([_group(3, (0.5, 1.0, 0.0, 0.7))])
    assert [(r["step"], r["response"], r["reward"]) for r in rows] == [(3, "answer 1", 1.0), (3, "answer 2", 0.0)]


def test_a_response_without_reward_is_the_worst_and_a_group_of_one_is_one_row() -> None:
    assert [r["reward"] for r in rollout_rows([_group(0, (0.5, None))])] == [0.5, None]
    assert len(rollout_rows([_group(0, (0.5,))])) == 1
    assert rollout_rows([]) == []


def test_groups_are_taken_from_the_whole_stage() -> None:
    rows = rollout_rows([_group(step, (1.0,)) for step in range(90)])
    # 30 groups, every third.
    assert [r["step"] for r in rows] == list(range(0, 90, 3))


def test_a_table_is_columns_and_rows_with_long_texts_cut() -> None:
    table = json.loads(table_json([{"a": 1, "text": "x" * 2000}, {"b": None, "a": 2}]))
    assert table["columns"] == ["a", "text", "b"]
    assert table["data"][0] == [1, "x" * 1000 + " …", None]
    assert table["data"][1] == [2, None, None]


def test_predictions_point_to_their_pictures() -> None:
    picture = Picture(
        path="pictures/ocr-0.png", family="ocr", model="rl", prompt="?", response="7", reference="7", score=1.0
    )
    rows, paths = prediction_rows([picture], "predictions")
    shown = "table_images/predictions/ocr-0.png"
    assert paths == {"pictures/ocr-0.png": shown}
    assert rows[0]["picture"] == {"type": "image", "filepath": shown, "compressed_filepath": shown}
    assert (rows[0]["response"], rows[0]["score"]) == ("7", 1.0)


def test_a_data_card_tells_each_datasets_counts_and_reasons() -> None:
    report = {"datasets": {"train-ocr": {"seen": 1200, "kept": 1199, "dropped": {"duplicate": 1}, "tokens": 5}}}
    card = data_card("curate", uri="file:///x", digest="sha256:d", report=report)
    assert "| dataset | seen | kept | tokens | dropped |" in card
    assert "| train-ocr | 1 200 | 1 199 | 5 | duplicate: 1 |" in card
    assert "`sha256:d`" in card


def test_a_data_card_of_prompts_has_a_dash_where_a_count_is_not_told() -> None:
    card = data_card("curate-rl", uri="u", digest="d", report={"rl-ocr": {"kept": 1}, "pairs-text": {"ties": 2}})
    assert "| rl-ocr | 1 | – |" in card
    assert "| pairs-text | – | 2 |" in card


def test_parameters_are_flat_texts() -> None:
    assert flatten({"a": {"b": 1, "c": [1, "x"]}, "d": None, "e": "text", "f": True}) == {
        "a.b": "1",
        "a.c": '[1, "x"]',
        "d": "null",
        "e": "text",
        "f": "true",
    }
