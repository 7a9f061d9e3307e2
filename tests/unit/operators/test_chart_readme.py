from __future__ import annotations

from operators.mimo_pipeline.chart_readme import described_values, values_table

_VALUES = """\
# A remark about the file.
a:
  # -- First.
  b: 1
  c: 2
  d:
    # -- Second.
    e: [x]
# -- Third.
f: ""
"""


def test_values_are_described_by_their_path() -> None:
    assert list(described_values(_VALUES)) == [(("a", "b"), "First."), (("a", "d", "e"), "Second."), (("f",), "Third.")]


def test_the_table_shows_defaults_as_json_and_leaves_long_ones_out() -> None:
    rows = values_table(_VALUES + '# -- Long.\ng: "' + "x" * 80 + '"\n').splitlines()
    assert rows[2] == "| `a.b` | `1` | First. |"
    assert rows[3] == '| `a.d.e` | `["x"]` | Second. |'
    assert rows[5] == "| `g` | see values.yaml | Long. |"
