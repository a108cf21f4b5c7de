"""Amounts as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kubernetes import quantity


@pytest.mark.parametrize(
    ("text", "canonical", "value"),
    [
        ("0.5", "500m", "0.5"),
        ("1024Mi", "1Gi", str(2**30)),
        ("1.5Gi", "1536Mi", str(3 * 2**29)),
        ("1500Mi", "1500Mi", str(1500 * 2**20)),
        ("1000", "1k", "1000"),
        ("2048", "2048", "2048"),
        ("1000m", "1", "1"),
        ("1e3", "1e3", "1000"),
        ("0.0000000001", "1n", "0.000000001"),
        ("512Ki", "512Ki", str(2**19)),
        ("0", "0", "0"),
        ("-1", "-1", "-1"),
    ],
)
def test_known_amounts(text: str, canonical: str, value: str) -> None:
    assert quantity.canonical(text) == canonical
    assert quantity.parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["lots", "", "1.2.3", "--1", "1 Gi", "Gi"])
def test_no_amount_at_all(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        quantity.parse(text)


def test_unknown_suffix() -> None:
    with pytest.raises(ValueError, match="unable to parse quantity's suffix"):
        quantity.parse("1KiKi")


@given(st.integers(0, 10**12), st.sampled_from([*quantity.BINARY, *quantity.DECIMAL]))
def test_canonical_form_is_the_same_amount(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    once = quantity.canonical(text)
    assert quantity.parse(once) == quantity.parse(text)
    assert quantity.canonical(once) == once
