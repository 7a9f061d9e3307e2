"""Series become numbers, pictures and one page."""

from __future__ import annotations

import re

import pytest

from mimo_vl.errors import ConfigError, InputError
from mimo_vl.observability.dashboards.catalogue import DASHBOARDS
from mimo_vl.observability.dashboards.chart import Named, Step, bars, color_at, legend_of, lines, table
from mimo_vl.observability.dashboards.grafana import dashboard_json
from mimo_vl.observability.dashboards.numbers import format_value, ticks
from mimo_vl.observability.dashboards.page import PageRequest, last_minutes, render_page
from mimo_vl.observability.dashboards.prometheus_api import PrometheusApi, Series, TimeRange

_OVER = TimeRange(start_s=0.0, end_s=100.0, step_s=1.0)
_STEPS = [Step(value=None, color="green"), Step(value=10.0, color="orange"), Step(value=20.0, color="red")]


def _named(name: str, *points: tuple[float, float], **labels: str) -> Named:
    return Named(name=name, series=Series(labels=labels, points=points))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, "percentunit", "12.3 %"),
        (97.0, "percent", "97 %"),
        (90.0, "s", "1.5 min"),
        (0.005, "s", "0.005 s"),
        (172_800.0, "s", "2 d"),
        (3 * 2**30, "bytes", "3 GiB"),
        (12_345.0, "short", "12.3 k"),
        (2.5, "h", "2.5 h"),
        (0.0, "ops", "0 /s"),
        (999.0, "short", "999"),
        (1e-5, "short", "1e-05"),
        (-1500.0, "short", "-1.5 k"),
    ],
)
def test_numbers_have_few_digits_and_their_unit(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_ticks_are_round_and_cover_the_values() -> None:
    assert ticks(0.0, 1.0) == pytest.approx([0.0, 0.5, 1.0])
    assert ticks(3.1, 9.7) == pytest.approx([2, 4, 6, 8, 10])
    assert ticks(5.0, 5.0) == [5.0]


def test_a_legend_names_labels_and_leaves_missing_ones_out() -> None:
    assert legend_of("{{stage}}-{{attempt}}", {"stage": "morl", "attempt": "2"}) == "morl-2"
    assert legend_of("{{stage}} {{part}}", {"stage": "morl"}) == "morl"


def test_the_colour_is_that_of_the_last_threshold_reached() -> None:
    colors = [color_at(_STEPS, value) for value in (0.0, 10.0, 19.9, 20.0)]
    assert colors == ["#12a150", "#e8710a", "#e8710a", "#d64545"]


def test_a_line_lies_where_its_values_are() -> None:
    svg = lines([_named("one", (0.0, 0.0), (1.0, 10.0))], _OVER, "short", [])
    [points] = re.findall(r'<polyline points="([^"]+)"', svg)
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in points.split())
    # 488 pixels are 100 s; the value 0 is at the bottom (198), 10 of at most 15 higher up.
    assert (x0, x1) == (64.0, pytest.approx(64 + 4.9, abs=0.1))
    assert y0 == 198.0
    assert y0 - y1 == pytest.approx(190 * 10 / 15, abs=0.2)


def test_a_gap_is_not_drawn_over_and_a_point_alone_is_a_dot() -> None:
    svg = lines([_named("one", (0.0, 1.0), (1.0, 1.0), (50.0, 2.0))], _OVER, "short", [])
    assert svg.count("<polyline") == 1
    assert svg.count("<circle") == 1


def test_thresholds_are_drawn_where_they_are_in_sight() -> None:
    near = lines([_named("one", (0.0, 5.0), (1.0, 12.0))], _OVER, "short", _STEPS)
    assert near.count('class="threshold"') == 1
    assert 'stroke="#e8710a"' in near


def test_names_from_labels_cannot_bring_markup_in() -> None:
    evil = "<script>alert(1)</script>"
    named = _named(evil, (0.0, 1.0), stage=evil)
    for html in (lines([named], _OVER, "short", []), bars([named], "short", []), table([named], "short")):
        assert "<script" not in html
        assert "&lt;script&gt;" in html


def test_the_longest_bar_is_full() -> None:
    html = bars([_named("a", (0.0, 5.0)), _named("b", (0.0, 20.0))], "short", _STEPS)
    assert re.findall(r"width:([\d.]+)%", html) == ["25.0", "100.0"]
    assert bars([_named("a", (0.0, 0.0))], "short", _STEPS).count("width:0.0%") == 1


class _Source:
    """Answers every query with one series and remembers what was asked."""

    def __init__(self, *, is_empty: bool = False, refuses: str = "") -> None:
        self.asked: list[str] = []
        self._is_empty, self._refuses = is_empty, refuses

    def instant(self, expr: str, at_s: float) -> list[Series]:
        return self._answer(expr, at_s)

    def range(self, expr: str, over: TimeRange) -> list[Series]:
        return self._answer(expr, over.end_s)

    def _answer(self, expr: str, at_s: float) -> list[Series]:
        self.asked.append(expr)
        if self._refuses and self._refuses in expr:
            raise InputError("query: parse error")
        return [] if self._is_empty else [Series(labels={"stage": "morl"}, points=((at_s - 1, 1.0), (at_s, 2.0)))]


def _page(source: _Source, refresh_s: int = 0) -> str:
    request = PageRequest(
        source=source,
        over=last_minutes(60, 1_000_000.0),
        variables={"namespace": "ml", "pipeline": "p1|p2"},
        refresh_s=refresh_s,
    )
    return render_page([dashboard_json(board) for board in DASHBOARDS], request)


def test_the_page_has_every_panel_and_fetches_nothing() -> None:
    html = _page(_Source())
    titles = re.findall(r'data-title="([^"]+)" data-num-series="([1-9]\d*)"', html)
    assert len(titles) == sum(len(board.panels) for board in DASHBOARDS)
    assert not re.search(r'(src|href)="(?!#)|url\(|@import|<script', html)
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html


def test_variables_are_replaced_in_every_query() -> None:
    source = _Source()
    _page(source)
    assert source.asked
    assert not any("$namespace" in expr or "$pipeline" in expr for expr in source.asked)
    assert any('mimo_pipeline=~"p1|p2"' in expr and 'mimo_namespace=~"ml"' in expr for expr in source.asked)


def test_a_panel_without_data_and_one_with_an_error_say_so() -> None:
    assert _page(_Source(is_empty=True)).count("no data") == sum(len(board.panels) for board in DASHBOARDS)
    html = _page(_Source(refuses="mimo_operator_leader"))
    assert html.count("query: parse error") == 1


def test_only_a_served_page_is_renewed() -> None:
    assert "http-equiv" not in _page(_Source())
    assert '<meta http-equiv="refresh" content="15">' in _page(_Source(), refresh_s=15)


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="--prometheus: got 'localhost:9090', wanted an address such as"):
        PrometheusApi("localhost:9090")
