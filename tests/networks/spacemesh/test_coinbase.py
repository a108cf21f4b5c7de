"""Coinbase keys are real secp256k1 keys, and do not show themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.spacemesh.coinbase import address_of, coinbase_key


def test_a_known_key_pair() -> None:
    """The generator point itself: SEC 2 v2, section 2.4.1."""
    key = coinbase_key((1).to_bytes(32))
    assert key.private_hex == "0" * 63 + "1"
    assert key.public_hex == "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    assert address_of(key.public_hex) == "ce870b07029bfcdb2dce28d959f2815b16f81798"


def test_the_address_is_the_last_twenty_bytes() -> None:
    assert address_of("02" + "ab" * 12 + "cd" * 20) == "cd" * 20


@given(st.binary(min_size=32, max_size=32))
def test_the_same_bytes_are_the_same_key(random_bytes: bytes) -> None:
    try:
        key = coinbase_key(random_bytes)
    except ValueError:
        assert int.from_bytes(random_bytes) == 0 or random_bytes[:15] == b"\xff" * 15
        return
    assert key == coinbase_key(random_bytes)
    assert (len(key.private_hex), len(key.public_hex)) == (64, 66)
    assert key.public_hex[:2] in ("02", "03")
    assert key.private_hex not in repr(key)


@pytest.mark.parametrize("random_bytes", [b"", b"\0" * 31, b"\1" * 33, b"\0" * 32, b"\xff" * 32])
def test_bytes_that_are_no_key(random_bytes: bytes) -> None:
    with pytest.raises(ValueError, match=r"draw again|made from 32 bytes"):
        coinbase_key(random_bytes)
