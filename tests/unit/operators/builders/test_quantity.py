from __future__ import annotations

from decimal import Decimal

import pytest

from operators.mimo_pipeline.builders.quantity import amount


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("500m", "0.5"), ("2", "2"), ("1.5Gi", "1610612736"), ("1G", "1000000000"), ("64Ki", "65536"), ("0", "0")],
)
def test_a_quantity_is_its_number(quantity, number) -> None:
    assert amount(quantity) == Decimal(number)


@pytest.mark.parametrize("quantity", ["", "1gi", "-1", "1e3", "Gi", "1 Gi"])
def test_a_wrong_quantity_is_named(quantity) -> None:
    with pytest.raises(ValueError, match=f"got '{quantity}'"):
        amount(quantity)
