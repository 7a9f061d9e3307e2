"""Curves as SVG: well-formed, the same bytes each time, and where the values say."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

from mimo_vl.tracking.charts import Series, _ticks, bar_chart, line_chart

SVG = "{http://www.w3.org/2000/svg}"


def _texts(chart: bytes) -> list[str]:
    return [t.text or "" for t in ET.fromstring(chart).iter(f"{SVG}text")]


def _chart(*points: tuple[float, float], name: str = "a") -> bytes:
    return line_chart("t", [Series(name=name, points=points)], x_label="step", y_label="nats")


def test_a_chart_names_its_title_axes_and_series() -> None:
    chart = _chart((1, 2.0), (2, 1.0), name="ocr & <qa>")
    texts = _texts(chart)
    assert {"t", "step", "nats", "ocr & <qa>"} <= set(texts)
    assert _chart((1, 2.0), (2, 1.0), name="ocr & <qa>") == chart


def test_a_falling_curve_falls() -> None:
    [line] = ET.fromstring(_chart((0, 4.0), (10, 0.0))).iter(f"{SVG}polyline")
    (x0, y0), (x1, y1) = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
    assert x0 < x1
    # Pixels count downwards.
    assert y0 < y1
    assert 36 <= y0 < y1 <= 316


def test_points_that_are_no_numbers_are_left_out() -> None:
    chart = _chart((0, math.nan), (1, 1.0), (2, math.inf), (3, 2.0))
    [line] = ET.fromstring(chart).iter(f"{SVG}polyline")
    assert len(line.attrib["points"].split()) == 2
    assert b"nan" not in chart
    assert b"inf" not in chart


def test_nothing_to_draw_is_no_file() -> None:
    assert _chart() == b""
    assert _chart((0, math.nan)) == b""
    assert bar_chart("t", {}, unit="ratio") == b""


def test_one_point_is_a_dot_and_a_constant_curve_has_an_axis() -> None:
    root = ET.fromstring(_chart((5, 3.0)))
    assert len(list(root.iter(f"{SVG}circle"))) == 1
    assert ET.fromstring(_chart((1, 0.0), (2, 0.0)))


def test_a_long_curve_is_drawn_by_means_of_its_neighbours() -> None:
    # 800 points become 400 means of two: 0 and 1 -> 0.5.
    chart = _chart(*[(i, float(i % 2)) for i in range(800)])
    [line] = ET.fromstring(chart).iter(f"{SVG}polyline")
    heights = {p.split(",")[1] for p in line.attrib["points"].split()}
    assert len(line.attrib["points"].split()) == 400
    assert len(heights) == 1


def test_ticks_are_round_and_enclose_the_values() -> None:
    assert _ticks(0.0, 10.0) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert _ticks(0.13, 0.87)[0] <= 0.13
    assert _ticks(0.13, 0.87)[-1] >= 0.87


def test_bars_are_as_long_as_their_values() -> None:
    root = ET.fromstring(bar_chart("t", {"a": 0.5, "b": 1.0}, unit="ratio"))
    widths = [float(r.attrib["width"]) for r in root.iter(f"{SVG}rect")][1:]
    assert widths[1] == 2 * widths[0]
