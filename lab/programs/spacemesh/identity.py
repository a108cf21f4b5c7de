"""A node's p2p identity: an Ed25519 key, made on the first start and kept in the data folder ever after."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# libp2p: multihash "identity" of 36 bytes, holding a protobuf PublicKey{Type: Ed25519, Data: 32 bytes}.
_PREFIX = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])


def load_identity(data_folder: Path) -> tuple[str, bool]:
    """The identity kept below a data folder, and whether it was made just now. OSError when the folder cannot be written."""
    file = data_folder / "p2p" / "p2p.key"
    known = file.exists()
    return base58(_PREFIX + load_key(file)), not known


def load_key(file: Path) -> bytes:
    """The public key of the key pair in a file, which is made when there is none."""
    if file.exists():
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(json.loads(file.read_text())["Key"])).public_key().public_bytes_raw()
    private = Ed25519PrivateKey.generate()
    file.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place: a program killed while writing has either no key or a whole one.
    draft = file.with_suffix(".tmp")
    draft.write_text(json.dumps({"Key": base64.b64encode(private.private_bytes_raw()).decode()}))
    draft.replace(file)
    return private.public_key().public_bytes_raw()


def base58(data: bytes) -> str:
    """Base 58 as in Bitcoin addresses and libp2p ids."""
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text
