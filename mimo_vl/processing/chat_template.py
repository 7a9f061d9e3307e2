"""How a conversation is laid out: ChatML with Qwen2.5-VL's visual blocks, and no system turn unless one is given."""

from __future__ import annotations

from pathlib import Path

CHAT_TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8")
