"""A store without conditional writes is refused before anything runs on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.errors import ConfigError
from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.kubernetes.store_check import require_conditional_writes


class _Overwriting(LocalStore):
    """Takes the header for ordinary metadata, as some clients and servers do."""

    def put_bytes(self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None) -> str:
        return super().put_bytes(key, data)


def test_a_store_that_refuses_the_second_create_is_good_and_left_clean(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    require_conditional_writes(store)
    assert store.list("checks/") == []


def test_a_store_that_overwrites_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"accepts a second conditional create.*wanted a refusal with 412"):
        require_conditional_writes(_Overwriting(tmp_path))
