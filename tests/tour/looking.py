"""What the tours share: pictures that show something, the rows of a report, and copies of a run to go over again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from PIL import Image

from tests.browser import Page

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "runs/tour"


def take_picture(page: Page, name: str) -> None:
    """One colour is a page that was not drawn."""
    path = PICTURES / f"{name}.png"
    page.screenshot(path)
    with Image.open(path) as image:
        colours = image.convert("RGB").resize((360, 250)).getcolors(maxcolors=360 * 250)
    assert colours is not None
    assert len(colours) > 8, f"{path} is empty"


def report_rows(page: Page) -> dict[tuple[str, str], str]:
    """Text of the rows of the table of attempts, by stage and number."""
    rows = "[...document.querySelector('#stages table').rows].map(r => [...r.cells].map(c => c.innerText))"
    return {(cells[0], cells[1]): " | ".join(cells[2:]) for cells in page.evaluate(rows)}


def copy_run(run_dir: Path, folder: Path) -> Path:
    """The run's state; its files are linked, and whoever writes one makes it anew."""
    copy = folder / run_dir.name
    copy.mkdir()
    for name in ("pipeline.json", "state", "store"):
        source = run_dir / name
        if source.is_dir():
            shutil.copytree(source, copy / name, copy_function=_link)
        elif source.exists():
            shutil.copy(source, copy / name)
    return copy


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
