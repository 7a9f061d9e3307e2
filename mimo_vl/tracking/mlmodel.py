"""The `MLmodel` and the card (README.md) beside a model's safetensors, by which people and MLflow know what it is.

Both are part of the artifact, so they hold nothing that depends on time, place or run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MLMODEL, CARD = "MLmodel", "README.md"
# Its `_load_pyfunc(folder)` makes the model that `mlflow.pyfunc.load_model` returns.
LOADER = "mimo_vl.evaluation.mlflow_model"
_REWARD_CONFIG = "reward_config.json"

_PROMPT = {"name": "prompt", "type": "string", "required": True}
_RESPONSE = {"name": "response", "type": "string", "required": True}
_IMAGE = {"name": "image", "type": "binary", "required": False}
_ANSWER = {"name": "response", "type": "string", "required": True}
_SCORE = {"name": "score", "type": "double", "required": True}
_PARAMS = (
    {"name": "max_new_tokens", "type": "long", "default": 64, "shape": None},
    {"name": "temperature", "type": "double", "default": 0.0, "shape": None},
)


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a card tells of a model; nothing that another run of the same configuration would have differently."""

    name: str
    stage: str
    profile: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Name -> digest."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    processing: Mapping[str, Any] = field(default_factory=dict)
    """How media become patches; the loader needs it."""


def write_mlmodel(model_dir: Path, facts: ModelFacts) -> str:
    """Into `model_dir`, a Hugging Face folder: its config.json names the architecture.

    Returns the card without the front matter, which is for Hugging Face alone.
    """
    config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    is_reward = (model_dir / _REWARD_CONFIG).is_file()
    own = {"format": "huggingface-safetensors", "architectures": config.get("architectures", [])}
    own |= {"kind": "reward" if is_reward else "chat", "processing": dict(facts.processing)}
    document = {
        "artifact_path": model_dir.name,
        "flavors": {"mimo_vl": own, "python_function": {"loader_module": LOADER}},
        "signature": _signature(is_reward=is_reward),
    }
    (model_dir / MLMODEL).write_text(yaml.safe_dump(document, sort_keys=True), encoding="utf-8")
    card = _card(facts, architecture=", ".join(own["architectures"]) or "unknown", is_reward=is_reward)
    task = "text-classification" if is_reward else "image-text-to-text"
    front = ["---", "library_name: transformers", f"pipeline_tag: {task}", "tags: [mimo-vl]", "---", "", ""]
    (model_dir / CARD).write_text("\n".join(front) + card, encoding="utf-8")
    return card


def without_front_matter(card: str) -> str:
    """A card that was read back from README.md, as `write_mlmodel` returned it."""
    return card.partition("\n---\n")[2].lstrip("\n") if card.startswith("---\n") else card


def _card(facts: ModelFacts, *, architecture: str, is_reward: bool) -> str:
    """Markdown."""
    lines = [f"# {facts.name}: {facts.stage}", ""]
    lines += [f"- profile: {facts.profile}", f"- architecture: {architecture}"]
    lines += [f"- made from `{name}`: `{digest}`" for name, digest in sorted(facts.inputs.items())]
    if facts.metrics:
        lines += ["", "| metric | value |", "|---|---|"]
        lines += [f"| {name} | {value:.6g} |" for name, value in sorted(facts.metrics.items())]
    lines += ["", "## Use", "", "```python", *(_REWARD_USE if is_reward else _CHAT_USE), "```", ""]
    return "\n".join(lines)


_CHAT_USE = (
    "from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration",
    'model = Qwen2_5_VLForConditionalGeneration.from_pretrained("model")',
    'tokenizer = AutoTokenizer.from_pretrained("model")',
    "",
    "import mlflow, pandas  # with this package installed",
    'mlflow.pyfunc.load_model("model").predict(pandas.DataFrame({"prompt": ["How many circles are there?"]}))',
)
_REWARD_USE = (
    "import mlflow, pandas  # with this package installed; the score head lies in reward_head.safetensors",
    'rows = pandas.DataFrame({"prompt": ["Hello"], "response": ["Hello! How can I help?"]})',
    'mlflow.pyfunc.load_model("model").predict(rows)',
)


def _signature(*, is_reward: bool) -> dict[str, str | None]:
    inputs = [_PROMPT, _RESPONSE, _IMAGE] if is_reward else [_PROMPT, _IMAGE]
    outputs = [_SCORE] if is_reward else [_ANSWER]
    params = None if is_reward else json.dumps(_PARAMS)
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": params}
