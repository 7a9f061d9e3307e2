"""Rows as the tables that MLflow shows and `mlflow.load_table` reads: {"columns": [...], "data": [[...], ...]}."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mimo_vl.schema.evaluation import Picture
from mimo_vl.schema.rollout import ScoredGroup

# So many rows say what there is to see; the whole lies in the store.
_MAX_ROWS = 60
# Longer texts are cut in a cell.
_MAX_CHARS = 1000
# Folder that the server's UI takes pictures of tables from.
_PICTURES = "table_images"


def table_json(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Columns in the order of their first appearance; a cell that a row does not have is null."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    data = [[_cell(row.get(name)) for name in columns] for row in rows]
    return json.dumps({"columns": columns, "data": data}, ensure_ascii=False).encode()


def rollout_rows(groups: Sequence[ScoredGroup]) -> list[dict[str, Any]]:
    """Best and worst completion of groups spread evenly over the stage, with their rewards."""
    rows = []
    for group in _spread(groups, _MAX_ROWS // 2):
        order = sorted(
            range(len(group.completions)), key=lambda i: (group.rewards[i] is None, -(group.rewards[i] or 0.0))
        )
        for index in dict.fromkeys((order[0], order[-1])):
            completion = group.completions[index]
            rows.append(
                {
                    "step": group.step,
                    "family": str(group.family),
                    "prompt_id": group.prompt_id,
                    "sample": completion.sample_index,
                    "response": completion.text,
                    "reward": group.rewards[index],
                    "status": group.statuses[index] if group.statuses else "",
                    "reward_name": group.reward_names[index] if group.reward_names else "",
                    "tokens": len(completion.token_ids),
                    "finish_reason": completion.finish_reason,
                    "weight_version": completion.weight_version,
                }
            )
    return rows


def prediction_rows(pictures: Sequence[Picture], table: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows with their drawings, and where each drawing goes: path in the output -> path in the artifact view."""
    paths = {p.path: f"{_PICTURES}/{table}/{p.path.rpartition('/')[2]}" for p in pictures[:_MAX_ROWS]}
    rows = [
        {
            # The UI shows the compressed file and opens the other; ours are small.
            "picture": {"type": "image", "filepath": paths[p.path], "compressed_filepath": paths[p.path]},
            "family": p.family,
            "model": p.model,
            "prompt": p.prompt,
            "response": p.response,
            "reference": p.reference,
            "score": p.score,
        }
        for p in pictures[:_MAX_ROWS]
    ]
    return rows, paths


def _spread(groups: Sequence[ScoredGroup], count: int) -> list[ScoredGroup]:
    """Chosen by position, never by reward."""
    num = min(count, len(groups))
    return [groups[k * len(groups) // num] for k in range(num)]


def _cell(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _MAX_CHARS:
        return value[:_MAX_CHARS] + " …"
    return value
