"""`make golden-update`: the top of what the tours photographed, small, into docs/images/. Without a tour it says so."""

from __future__ import annotations

import sys

from PIL import Image

from tests.tour.looking import PICTURES, ROOT

_IMAGES = ROOT / "docs/images"
# Name of a picture -> height that is kept of a page of 1440 pixels in width.
_SHOWN = {"report": 1000, "mlflow-experiment": 900, "cluster-dashboards": 1100}
_WIDTH = 900


def main() -> int:
    missing = [name for name in _SHOWN if not (PICTURES / f"{name}.png").is_file()]
    for name, height in _SHOWN.items():
        if name in missing:
            continue
        with Image.open(PICTURES / f"{name}.png") as image:
            top = image.convert("RGB").crop((0, 0, image.width, min(height, image.height)))
            top.thumbnail((_WIDTH, _WIDTH))
            _IMAGES.mkdir(exist_ok=True)
            top.quantize(colors=64).save(_IMAGES / f"{name}.png", optimize=True)
    if missing:
        sys.stderr.write(f"not renewed in docs/images: {', '.join(missing)}; run make tour and make test-e2e first\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
