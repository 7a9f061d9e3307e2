"""`make demo-check`: its exit code is the verdict, its lines say why."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.demo_check import main
from mimo_vl.evaluation.claims import FAMILIES, LOSS_STAGES, REWARD_MODELS

Edit = Callable[[dict[str, Any]], None]


def _family(name: str, n: int) -> dict[str, Any]:
    return {
        "name": name, "n": n, "base": 0.1, "sft": 0.92, "rl": 0.93,
        "base_ci": [0.05, 0.2], "sft_ci": [0.85, 0.95], "rl_ci": [0.86, 0.96], "rl_minus_sft_ci": [-0.02, 0.05],
        "metrics": {"base": {"nats_per_token": 2.0}, "sft": {"box_reward": 0.6, "nats_per_token": 2.05}},
    }  # fmt: skip


def _good() -> dict[str, Any]:
    stages = [{"name": n, "status": "Succeeded", "loss_first": 3.0, "loss_last": 1.0} for n in LOSS_STAGES]
    return {
        "stages": [*stages, {"name": "morl", "status": "Succeeded", "loss_first": None, "loss_last": None}],
        "families": [_family(name, 200 if i < 5 else 64) for i, name in enumerate(FAMILIES)],
        "mean_reward": {"sft": 0.6, "rl": 0.65, "rl_minus_sft_ci": [0.02, 0.08]},
        "reward_models": [{"name": n, "pairwise_accuracy": 0.8, "ci": [0.7, 0.9]} for n in REWARD_MODELS],
        "total_seconds": 900.0,
        "peak_pss_bytes": 6 * 2**30,
    }


def _run(tmp_path: Path, summary: dict[str, Any]) -> tuple[int, list[str]]:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(summary), encoding="utf-8")
    lines: list[str] = []
    code = main([str(path)], lines.append)
    return code, [line.rstrip("\n") for line in lines]


def test_run_that_learned_passes(tmp_path: Path) -> None:
    code, lines = _run(tmp_path, _good())
    assert code == 0
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert "ok stage morl: got Succeeded, wanted Succeeded" in lines


def _set_family(name: str, **values: object) -> Edit:
    return lambda s: next(f for f in s["families"] if f["name"] == name).update(values)


BREAKS: dict[str, Edit] = {
    "stage morl": lambda s: s["stages"][-1].update(status="Failed"),
    "loss falls in long-context-sft": lambda s: s["stages"][3].update(loss_last=3.0),
    "loss falls in projector-warmup": lambda s: s["stages"].pop(0),
    "items of counting": _set_family("counting", n=199),
    "items of ocr": _set_family("ocr", n=63),
    "caption after SFT": _set_family("caption", sft_ci=[0.2, 0.5]),
    "qa after SFT": _set_family("qa", base_ci=None),
    "text after SFT": _set_family("text", metrics={"base": {"nats_per_token": 2.0}, "sft": {"nats_per_token": 2.11}}),
    "digits read by SFT": _set_family("ocr", sft=0.89),
    "counting of SFT": _set_family("counting", sft=0.69),
    "boxes of SFT, mean (1 + GIoU) / 2": _set_family("grounding", metrics={"sft": {"box_reward": 0.49}}),
    "held-out pairs of reward-model-text": lambda s: s["reward_models"][0].update(ci=[0.5, 0.9]),
    "mean reward rises by RL": lambda s: s["mean_reward"].update(rl_minus_sft_ci=[0.0, 0.08]),
    "gui after RL": _set_family("gui", rl_minus_sft_ci=[-0.2, -0.031]),
    "video after RL": _set_family("video", rl_minus_sft_ci=None),
    "total_seconds": lambda s: s.update(total_seconds=1201),
    "peak_pss_bytes": lambda s: s.update(peak_pss_bytes=10 * 2**30 + 1),
}


@pytest.mark.parametrize("claim", BREAKS)
def test_each_broken_claim_fails_by_its_name(tmp_path: Path, claim: str) -> None:
    summary = copy.deepcopy(_good())
    BREAKS[claim](summary)
    code, lines = _run(tmp_path, summary)
    assert code == 1
    failed = [line.removeprefix("FAIL ").split(": got")[0] for line in lines if line.startswith("FAIL")]
    assert failed == [claim]


def test_missing_family_fails_its_size_and_both_comparisons(tmp_path: Path) -> None:
    summary = _good()
    summary["families"].pop(FAMILIES.index("qa"))
    _, lines = _run(tmp_path, summary)
    failed = [line for line in lines if line.startswith("FAIL")]
    assert [line.split(":")[0] for line in failed] == ["FAIL items of qa", "FAIL qa after SFT", "FAIL qa after RL"]


def test_missing_mean_reward_is_a_failure_not_an_exception(tmp_path: Path) -> None:
    code, lines = _run(tmp_path, {**_good(), "mean_reward": None})
    assert code == 1
    assert any(line.startswith("FAIL mean reward") for line in lines)


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    lines: list[str] = []
    assert main([str(tmp_path / "none.json")], lines.append) == 2
    assert "wanted one existing file" in lines[0]
