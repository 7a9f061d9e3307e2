"""How the pages of docs/ become a site: README.md is its first page, links out of docs/ become names of files."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

# Pages that the repository keeps at its root, and their place on the site.
_ROOT_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
# Code comes first: a regular expression in it may look like a link.
_LINK = re.compile(r"`[^`\n]+`|(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    from mkdocs.structure.files import File

    root = Path(config.config_file_path).parent
    for source, place in _ROOT_PAGES.items():
        files.append(File.generated(config, place, content=(root / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    sources = {place: source for source, place in _ROOT_PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return _LINK.sub(lambda link: _on_site(link, source, page.file.src_uri), markdown)


def _on_site(link: re.Match[str], source: str, place: str) -> str:
    """Every link is relative to a file of the repository; on the site some of those files do not exist."""
    if link["target"] is None:
        return link[0]
    target = os.path.normpath(PurePosixPath(source).parent / link["target"])
    goal = _ROOT_PAGES.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
    if goal is None or not goal.endswith((".md", ".png")):
        return f"{link['text']} (`{target}`)"
    path = os.path.relpath(goal, PurePosixPath(place).parent)
    return f"[{link['text']}]({path}{link['anchor'] or ''})"
