"""The account that a miner's rewards go to."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1, SEC 2 v2 section 2.4.1


@dataclass(frozen=True)
class CoinbaseKey:
    """A secp256k1 key pair, both parts in hex: 32 bytes private (never shown), 33 bytes public (compressed)."""

    private_hex: str = field(repr=False)
    public_hex: str


def coinbase_key(random_bytes: bytes) -> CoinbaseKey:
    """The key pair of 32 random bytes. ValueError for the few (2^-128 of them) that are no key: draw again."""
    if len(random_bytes) != 32:
        raise ValueError(f"a coinbase key is made from 32 bytes, not from {len(random_bytes)}")
    secret = int.from_bytes(random_bytes)
    if not 0 < secret < _ORDER:
        raise ValueError("these bytes are no secp256k1 key: draw again")
    public = ec.derive_private_key(secret, ec.SECP256K1()).public_key()
    return CoinbaseKey(f"{secret:064x}", public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint).hex())


def address_of(public_hex: str) -> str:
    """The account's address as old nodes write it: the last 20 bytes of the public key, in hex."""
    return public_hex[-40:]
