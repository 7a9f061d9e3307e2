"""The reference page names every key of the configuration, with a meaning."""

from __future__ import annotations

from mimo_vl.config.compose import compose, dump_config
from mimo_vl.config.reference import config_reference, undocumented_keys


def test_no_key_is_without_a_meaning() -> None:
    assert undocumented_keys() == []


def test_a_row_has_type_default_and_meaning() -> None:
    row = '| `rl.clip_high` | float | `0.28` | vanilla_grpo only: ratio clip, "clip-higher" (MiMo-7B). |'
    assert row in config_reference().splitlines()


def test_values_without_effect_on_results_are_marked() -> None:
    [row] = [line for line in config_reference().splitlines() if line.startswith("| `data.num_workers` ")]
    assert row.endswith("*Not in the key.* |")


def test_every_section_of_a_real_configuration_is_there() -> None:
    text = config_reference()
    sections = [line.split(":")[0] for line in dump_config(compose("tiny")).splitlines() if line[0].isalpha()]
    assert len(sections) > 10
    assert [name for name in sections if f"| `{name}` |" not in text] == []
