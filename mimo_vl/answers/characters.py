"""One spelling for characters that look alike: full-width forms, dashes, spaces. Superscripts are left alone."""

from __future__ import annotations

# U+FF01..U+FF5E are ASCII 0x21..0x7E in full width. NFKC is not used: it would turn 3² into 32.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_LOOK_ALIKE = {ord(a): b for a, b in zip("−–—‐‑。、；\u3000\u00a0\u2009\u202f", "-----.,;    ", strict=True)}
_TABLE: dict[int, int | str] = {**_FULL_WIDTH, **_LOOK_ALIKE}


def to_half_width(text: str) -> str:
    return text.translate(_TABLE)
