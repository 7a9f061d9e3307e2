"""The `MLmodel` file beside a model's safetensors, by which MLflow tools know what the folder holds.

It is part of the artifact, so it holds nothing that depends on time, place or run.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

MLMODEL = "MLmodel"


def write_mlmodel(model_dir: Path) -> None:
    """`model_dir` is a Hugging Face folder: its config.json names the architecture."""
    config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    flavor = {"format": "huggingface-safetensors", "architectures": config.get("architectures", [])}
    text = yaml.safe_dump({"artifact_path": model_dir.name, "flavors": {"mimo_vl": flavor}}, sort_keys=True)
    (model_dir / MLMODEL).write_text(text, encoding="utf-8")
