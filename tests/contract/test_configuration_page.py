"""docs/configuration.md leads to the meaning of every key, and other pages name keys that it has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mimo_vl.config.compose import compose, dump_config
from mimo_vl.config.reference import config_reference

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if p.name != "configuration.md")
SECTIONS = {
    *("model", "processing", "data", "base", "stages", "reward_models", "curate_rl", "rewards", "rl", "evaluation"),
    *("storage", "tracking", "observability"),
}
# Dotted names on pages that only look like keys: files, a method, a parameter of the model, a wrong key on purpose.
_FILE = re.compile(r"\.(json|jsonl|yaml|md|py)$")
_OTHER = {"model.predict", "model.visual.merger", "rl.prompts_per_stp"}


class _Page:
    """The tables of the page: what stands in the second column of a key, and which key a section's table is about."""

    def __init__(self, text: str) -> None:
        self._kinds = dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|", text, re.M))
        paths = re.findall(r"^## `([^`]+)`$", text, re.M)
        self._paths = {re.sub(r"[^\w\s-]", "", path): path for path in paths}

    def has(self, key: str) -> bool:
        """Follow the sections' links word by word, as a reader does. Names inside a dict are its keys."""
        path = ""
        words = key.split(".")
        for index, word in enumerate(words):
            kind = self._kinds.get(f"{path}.{word}".lstrip("."))
            if kind is None:
                return False
            anchor = re.fullmatch(r"\[section\]\(#(.*)\)", kind)
            if anchor is None:
                return index + 1 == len(words) or kind.startswith("dict[")
            path = self._paths[anchor[1]]
            if path.endswith(".<stage>") and index + 1 < len(words):
                return self._has_in_stage(path, words[index + 2 :])
        return True

    def _has_in_stage(self, path: str, words: list[str]) -> bool:
        """`words` after the name of a stage."""
        if not words:
            return True
        kind = self._kinds.get(f"{path}.{words[0]}", "")
        anchor = re.fullmatch(r"\[section\]\(#(.*)\)", kind)
        if anchor and len(words) > 1:
            return f"{self._paths[anchor[1]]}.{words[1]}" in self._kinds
        return bool(kind) and (len(words) == 1 or kind.startswith("dict["))


@pytest.fixture(scope="module")
def page() -> _Page:
    return _Page(config_reference())


def test_every_key_of_a_configuration_is_found_by_following_the_page(page: _Page) -> None:
    config = compose("tiny", [f"data.custom.digest=sha256:{'a' * 64}"])
    keys = list(_leaves(yaml.safe_load(dump_config(config)), ""))
    # Sections that share a table with another one, or lie in one.
    assert {"rl.optimizer.beta1", "rl.checkpoint.every_steps"} < set(keys)
    assert "reward_models.reward-model-text.schedule.kind" in keys
    assert len(keys) > 250
    assert [key for key in keys if not page.has(key)] == []


def test_the_reader_notices_a_key_that_is_not_there(page: _Page) -> None:
    wrong = (
        "rl.optimizer.beta3",
        "rl.nothing",
        "stages.long-context-sft.parallelism.ranks",
        "curate_rl.family_weights",
    )
    assert [key for key in wrong if page.has(key)] == []
    without = _Page(config_reference().replace("| `rl.optimizer` |", "| `rl.other` |"))
    assert not without.has("rl.optimizer.beta1")


def _leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}".lstrip("."))
    else:
        yield path


def test_keys_on_other_pages_are_keys(page: _Page) -> None:
    found = {(path.name, key) for path in PAGES for key in _keys_on(path.read_text(encoding="utf-8"))}
    assert len(found) > 25
    assert [(name, key) for name, key in sorted(found) if not page.has(key)] == []


def _keys_on(text: str) -> set[str]:
    """In code, what begins with a section's name; `spec.storage.uri` is no such thing."""
    code = re.findall(r"^```.*?^```$|`[^`\n]+`", text, re.M | re.S)
    pattern = rf"(?<![\w./-])(?:{'|'.join(sorted(SECTIONS))})(?:\.[\w-]+)+"
    keys = {key for part in code for key in re.findall(pattern, part)}
    return {key for key in keys - _OTHER if not _FILE.search(key)}


def test_the_sections_are_those_of_the_configuration() -> None:
    composed = yaml.safe_load(dump_config(compose("tiny")))
    assert {name for name, value in composed.items() if isinstance(value, dict)} == SECTIONS


def test_the_page_for_7b_assembles_the_tower_that_it_names() -> None:
    text = (ROOT / "docs/how-to/production_7b.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    calls = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Call)]
    (call,) = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "compose"]
    profile, overrides = (ast.literal_eval(argument) for argument in call.args)
    vision = compose(profile, overrides).model.vision
    # As config.json of Qwen2.5-VL-7B-Instruct has them; the report's MLP is 3456 wide.
    assert (vision.depth, vision.hidden_size, vision.num_heads, vision.intermediate_size) == (32, 1280, 16, 3420)
    assert all(f"--override {override}" in text for override in overrides)
