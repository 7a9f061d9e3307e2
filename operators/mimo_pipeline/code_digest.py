"""Which version of the code a stage runs: sha256 over the sorted sources of mimo_vl/ and jobs/ and the lock files.

Sources are all that a stage's result is made by: modules, templates, and what a page embeds.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_SOURCE_FOLDERS = ("mimo_vl", "jobs")
# Configuration values (*.yaml) enter stage keys by what a stage reads of them, not by their files.
_SOURCE_PATTERNS = ("*.py", "*.jinja", "*.j2", "*.css", "*.html")
_LOCK_PATTERN = "requirements/*.txt"


def project_root() -> Path:
    """Folder that holds mimo_vl/, jobs/ and operators/."""
    return Path(__file__).resolve().parents[2]


def code_digest(root: Path) -> str:
    files = {f for folder in _SOURCE_FOLDERS for pattern in _SOURCE_PATTERNS for f in (root / folder).rglob(pattern)}
    files |= set(root.glob(_LOCK_PATTERN))
    digest = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return "sha256:" + digest.hexdigest()
