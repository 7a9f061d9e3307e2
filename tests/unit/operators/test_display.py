"""Tables and progress lines say what happened, in figures worked out by hand."""

from __future__ import annotations

import io
import re

from rich.console import Console

from operators.mimo_pipeline.api import StageProgress, StageState, StageStatus
from operators.mimo_pipeline.local.display import BarDisplay, LineDisplay, build_display, describe
from operators.mimo_pipeline.local.summary import StageRow
from operators.mimo_pipeline.local.tables import result_table, stage_table
from operators.mimo_pipeline.plan import Event, EventType
from tests.fakes.pipelines import chain, running, started, succeeded


def _text(renderable) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(renderable)
    return out.getvalue()


def _row(**changes) -> StageRow:
    values = {
        "name": "curate",
        "status": "Succeeded",
        "seconds": 61.0,
        "reused": False,
        "steps": 10,
        "tokens": 6100,
        "loss_first": 2.0,
        "loss_last": 0.5,
        "uri": "file:///s/runs/local/demo/01234567/curate/attempt-1",
        "tracking_run": "abc",
    }
    return StageRow(**{**values, **changes})


def test_the_stage_table_shows_time_speed_loss_artifact_and_run() -> None:
    other = _row(name="base", uri="file:///s/runs/local/demo/01234567/base/attempt-1", loss_first=None, tokens=None)
    text = _text(stage_table([_row(), other]))
    assert "artifacts below file:///s/runs/local/demo/01234567/" in text
    line = next(x for x in text.splitlines() if "curate" in x)
    # 6100 tokens in 61 s.
    for cell in ("1:01", "6,100", "100", "2.000 → 0.500", "curate/attempt-1", "abc"):
        assert cell in line
    assert "–" in next(x for x in text.splitlines() if x.startswith("│ base"))


def test_a_reused_stage_says_so_and_has_no_speed() -> None:
    assert _row(reused=True).tokens_per_s is None
    assert "reused" in _text(stage_table([_row(reused=True)]))


def test_the_summary_row_has_exactly_the_agreed_fields() -> None:
    fields = {"name", "status", "seconds", "tokens", "loss_first", "loss_last", "reused"}
    assert set(_row().to_summary()) == fields


def test_the_result_table_compares_the_three_models() -> None:
    family = {"name": "counting", "n": 200, "base": 0.1, "sft": 0.5, "rl": 0.625, "rl_minus_sft_ci": [0.02, 0.18]}
    text = _text(result_table({"families": [family], "mean_reward": {"sft": 0.5, "rl": 0.6}}))
    line = next(x for x in text.splitlines() if "counting" in x)
    for cell in ("200", "0.100", "0.500", "0.625", "[+0.020, +0.180]"):
        assert cell in line


def test_there_is_no_result_table_without_results() -> None:
    assert result_table({"families": []}) is None


def test_progress_shows_the_loss_before_other_metrics() -> None:
    progress = StageProgress(step=1, total=2, metrics={"zeta": 1.0, "loss": 0.12345})
    assert describe(running("a", progress=progress)) == "loss 0.1235"


def test_a_plain_line_is_not_repeated_within_seconds() -> None:
    out = io.StringIO()
    display = LineDisplay(Console(file=out, width=120))
    status = started(chain(), running("a", progress=StageProgress(step=1, total=9)))
    display.update(status)
    display.update(started(chain(), running("a", progress=StageProgress(step=2, total=9))))
    assert [line.split(" ", 1)[1] for line in out.getvalue().splitlines()] == ["a 1/9 steps"]


def _terminal() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(force_terminal=True, file=out, width=120, color_system=None), out


def _plain(out: io.StringIO) -> str:
    """Without the codes that move the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())


def test_a_terminal_gets_bars_and_a_file_gets_lines() -> None:
    assert isinstance(build_display(Console(file=io.StringIO())), LineDisplay)
    display = build_display(_terminal()[0])
    assert isinstance(display, BarDisplay)
    display.close()


def test_a_bar_shows_steps_and_loss_of_the_stage_that_runs_and_how_each_one_ended() -> None:
    console, out = _terminal()
    display = BarDisplay(console)
    progress = StageProgress(step=3, total=9, metrics={"loss": 0.5})
    display.update(started(chain(), running("a", progress=progress)))
    display._progress.refresh()
    text = _plain(out)
    assert re.search(r"a .*3/9 .*loss 0\.5", text)
    # What has not begun has no bar.
    assert not re.search(r"^\W*b ", text, re.M)
    failed = StageStatus(name="b", state=StageState.FAILED, attempt=1, message="disk [full]")
    display.update(started(chain(), succeeded("a", progress=progress), failed, succeeded("end", reused=True)))
    display.close()
    text = _plain(out)
    assert re.search(r"a .*9/9 .*Succeeded", text)
    # Brackets of a message are no markup.
    assert re.search(r"b .*Failed: disk \[full\]", text)
    assert re.search(r"end .*1/1 .*reused", text)


def test_beside_bars_only_warnings_are_printed() -> None:
    console, out = _terminal()
    display = BarDisplay(console)
    display.event(Event(type=EventType.NORMAL, reason="Started", message="a is Running", stage="a"))
    display.event(Event(type=EventType.WARNING, reason="OOMKilled", message="a is Retrying [1]", stage="a"))
    display.close()
    assert "OOMKilled: a is Retrying [1]" in out.getvalue()
    assert "a is Running" not in out.getvalue()
