"""Folders of own data for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.unit.data.builders import png


def own_line(number: int = 0, **fields: object) -> dict[str, object]:
    return {"image": f"{number}.png", "question": "Which?", "answer": str(number), "reference": str(number), **fields}


def write_own_data(folder: Path, lines: list[Mapping[str, object]]) -> Path:
    """Each named picture that can lie in the folder is drawn, in a shade of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for shade, line in enumerate(lines):
        name = line.get("image")
        if isinstance(name, str) and "/" not in name and not (folder / name).exists():
            (folder / name).write_bytes(png(shade=shade))
    (folder / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder
