"""Tests of the chart need helm; without it they skip and say so."""

from __future__ import annotations

import pytest

from tests.charts.helm import find_helm

# The first test may have to fetch helm.
_TIMEOUT_S = 180


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/charts" in str(item.path):
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture(autouse=True, scope="session")
def helm() -> None:
    if find_helm() is None:
        pytest.skip("no helm on PATH or in the development cluster, and its Python package cannot be had")
