"""Quantities mean here what they mean to Kubernetes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks import quantities
from networks.quantities import QuantityError


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", "1"),
        ("0", "0"),
        ("100m", "0.1"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+2", "2"),
        ("-3", "-3"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12e-1", "1.2"),
        ("1k", "1000"),
        ("1M", "1000000"),
        ("1E", "1000000000000000000"),
        ("1Ki", "1024"),
        ("2Gi", "2147483648"),
        ("1.5Gi", "1610612736"),
        ("250u", "0.00025"),
        ("7n", "0.000000007"),
    ],
)
def test_a_quantity_is_a_number(text: str, number: str) -> None:
    assert quantities.parse(text) == Decimal(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 ",
        " 1",
        "one",
        "1g",
        "1GB",
        "1gi",
        "Gi",
        "1Gi2",
        "0x10",
        "1,5",
        "1e",
        "1ee3",
        "m",
        "--1",
        "1_000",
        "٣",
        "1\n",
        "nan",
        "inf",
        "9" * 99,
    ],
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(QuantityError, match="is not a quantity: write a number with an optional unit, like 100m, 2, 512Mi or 10Gi"):
        quantities.parse(text)


@pytest.mark.parametrize("text", ["9e18", "8Ei", "10E", "1e99", "9999999999999999999999", "-8Ei"])
def test_what_is_larger_than_a_quantity_can_be_is_refused(text: str) -> None:
    if text == "9e18":
        assert quantities.parse(text) == 9 * 10**18
    else:
        with pytest.raises(QuantityError, match="larger than any quantity"):
            quantities.parse(text)


def test_fault_1_cpu_given_in_thousandths_counts() -> None:
    assert quantities.parse_cpu("100m") == Decimal("0.1")


@pytest.mark.parametrize(("text", "why"), [("0", "more than 0"), ("-1", "more than 0"), ("0.1m", "smallest step"), ("0.0001", "smallest step")])
def test_cpu_that_cannot_be(text: str, why: str) -> None:
    with pytest.raises(QuantityError, match=why):
        quantities.parse_cpu(text)


@pytest.mark.parametrize(("text", "why"), [("0", "more than 0"), ("-1Gi", "more than 0"), ("100m", "whole number"), ("1.5", "whole number")])
def test_bytes_that_cannot_be(text: str, why: str) -> None:
    with pytest.raises(QuantityError, match=why):
        quantities.parse_bytes(text)


@given(st.text(max_size=50))
def test_any_text_is_a_quantity_or_a_quantity_error(text: str) -> None:
    for read in (quantities.parse, quantities.parse_cpu, quantities.parse_bytes):
        try:
            read(text)
        except QuantityError as error:
            assert len(str(error)) < 200


@given(st.integers(min_value=1, max_value=256_000))
def test_cores_survive_being_written_and_read(thousandths: int) -> None:
    cores = Decimal(thousandths) / 1000
    assert quantities.parse_cpu(quantities.format_cpu(cores)) == cores


@given(st.integers(min_value=1, max_value=1023), st.sampled_from(["Ki", "Mi", "Gi", "Ti", "Pi"]))
def test_whole_sizes_survive_being_written_and_read(number: int, unit: str) -> None:
    size = quantities.parse_bytes(f"{number}{unit}")
    assert quantities.format_bytes(size) == f"{number}{unit}"


def test_sizes_for_people_are_short() -> None:
    assert quantities.format_bytes(100) == "100"
    assert quantities.format_bytes(1536 * 1024**2) == "1.5Gi"
