from __future__ import annotations

from mimo_vl.data.report_metrics import curation_metrics, selection_metrics


def test_drops_are_summed_over_datasets_by_reason() -> None:
    report = {
        "datasets": {
            "ocr": {"kept": 5, "dropped": {"duplicate": 2, "too_small": 1}},
            "text": {"kept": 7, "dropped": {"duplicate": 1}},
            "qa": {"kept": 3, "dropped": {}},
        }
    }
    assert curation_metrics(report) == {
        "data/samples_kept/ocr": 5.0,
        "data/samples_kept/qa": 3.0,
        "data/samples_kept/text": 7.0,
        "data/samples_dropped/duplicate": 3.0,
        "data/samples_dropped/too_small": 1.0,
    }


def test_prompts_kept_to_fill_are_kept_and_sizes_of_pairs_are_no_reasons() -> None:
    report = {
        "rl-counting": {"kept": 1, "kept_to_fill": 15, "never_solved": 32},
        "pairs-text": {"kept": 122, "ties": 70, "train_pairs": 89, "heldout_pairs": 33},
    }
    assert selection_metrics(report) == {
        "data/samples_kept/pairs-text": 122.0,
        "data/samples_kept/rl-counting": 16.0,
        "data/samples_dropped/never_solved": 32.0,
        "data/samples_dropped/ties": 70.0,
    }
