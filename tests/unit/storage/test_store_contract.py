"""What every store must do; file:// here, s3:// in tests/integration/storage with the same class."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.storage.local import LocalStore
from mimo_vl.storage.store import ArtifactStore

from .store_contract import StoreContract


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return LocalStore(tmp_path / "store")
