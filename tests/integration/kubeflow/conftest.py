from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fakes.kubeflow_api import KubeflowApi


@pytest.fixture
def api() -> Iterator[KubeflowApi]:
    """Every request of the test must be one that the published schema knows."""
    from tests.fakes.kubeflow_api import KubeflowApi

    api = KubeflowApi()
    yield api
    api.close()
    assert api.violations == []
