"""Request bodies in Kubernetes' protobuf: from bytes to the object that JSON would have held. Helm and kubectl send some of theirs so.

A body is `k8s`, a zero byte, and a message Unknown {1: TypeMeta {1 apiVersion, 2 kind}, 2: the object}. protobuf.json has the field numbers; it is
made by tools/make_protobuf_table.py. Answers are never protobuf: every client takes JSON too.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from lab.kubernetes.errors import bad_request

Obj = dict[str, Any]
Fields = dict[int, tuple[str, str, str]]  # number -> JSON name, how often ("", "[]", "map:"), type

MAGIC = b"k8s\x00"
# Empty texts that mean something else than none.
KEEP_EMPTY = {"storageClassName", "volumeAttributesClassName"}
# Numbers that are sent even when nobody set them; 0 is none.
DROP_ZERO = {
    "generation", "observedGeneration", "containerPort", "hostPort", "nodePort", "healthCheckNodePort", "minReadySeconds", "initialDelaySeconds",
    "count",
}  # fmt: skip
DROP_ZERO_IN = {"core.v1.Probe": {"timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"}}


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((Path(__file__).parent / "protobuf.json").read_text())
    return table


@cache
def _fields(message: str) -> Fields:
    found: Fields = {}
    for number, text in _table()["messages"][message].items():
        name, _, code = text.partition(" ")
        often = next((prefix for prefix in ("[]", "map:") if code.startswith(prefix)), "")
        found[int(number)] = name, often, code[len(often) :]
    return found


def decode_body(data: bytes) -> Obj:
    """The object in a body; 400 when it cannot be read."""
    if not data:
        raise bad_request("empty data")
    if not data.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        return _envelope(data[len(MAGIC) :])
    except (ValueError, IndexError, struct.error, OverflowError) as error:
        raise bad_request(f"proto: {error}" if str(error) else "unexpected EOF") from None


def _envelope(data: bytes) -> Obj:
    api_version = kind = ""
    raw = b""
    for number, value in _pairs(data):
        if number == 1:
            names = {inner: _bytes(text).decode() for inner, text in _pairs(_bytes(value))}
            api_version, kind = names.get(1, ""), names.get(2, "")
        elif number == 2:
            raw = _bytes(value)
    message = _message_of(api_version, kind)
    if message is None:
        raise bad_request(f'no kind "{kind}" is registered for version "{api_version}" in scheme "pkg/api/legacyscheme/scheme.go:30"')
    return {"apiVersion": api_version, "kind": kind, **_message(message, raw)}


def _message_of(api_version: str, kind: str) -> str | None:
    kinds = _table()["kinds"]
    if kind.endswith("Options"):  # every group has its own name for these
        api_version = "v1"
    found: str | None = kinds.get(f"{api_version}/{kind}")
    return found


def _message(name: str, data: bytes) -> Obj:
    result: Obj = {}
    known = _fields(name)
    for number, value in _pairs(data):
        if number not in known:
            continue  # of a newer version, as Go does
        key, often, code = known[number]
        if often == "[]":
            result.setdefault(key, []).append(_value(code, value))
        elif often:
            entry = dict(_pairs(_bytes(value)))
            result.setdefault(key, {})[_bytes(entry.get(1, b"")).decode()] = _value(code, entry.get(2, b""))
        elif not key:
            result.update(_value(code, value))
        elif not _unset(name, key, read := _value(code, value)):
            result[key] = read
    return result


def _unset(message: str, key: str, value: Any) -> bool:
    """Whether JSON would not have it: plain texts and numbers are always sent in protobuf."""
    if value is None:
        return True
    if value == "":
        return key not in KEEP_EMPTY
    return value == 0 and value is not False and (key in DROP_ZERO or key in DROP_ZERO_IN.get(message, ()))


def _value(code: str, value: int | bytes) -> Any:
    if code.startswith("@"):
        return _message(code[1:], _bytes(value))
    return _SCALARS[code](value)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("wrong wireType = 0")


def _integer(value: int | bytes) -> int:
    if isinstance(value, int):
        return value - (1 << 64) if value >> 63 else value
    raise ValueError("wrong wireType = 2")


def _double(value: int | bytes) -> float:
    number: float = struct.unpack("<d", _bytes(value))[0]
    return number


def _quantity(value: int | bytes) -> str:
    return _bytes(dict(_pairs(_bytes(value))).get(1, b"")).decode()


def _int_or_string(value: int | bytes) -> int | str:
    parts = dict(_pairs(_bytes(value)))
    return _bytes(parts.get(3, b"")).decode() if parts.get(1) else _integer(parts.get(2, 0))


def _moment(value: int | bytes, decimals: bool) -> str | None:
    if not value:
        return None
    parts = dict(_pairs(_bytes(value)))
    moment = datetime.fromtimestamp(_integer(parts.get(1, 0)), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{_integer(parts.get(2, 0)) // 1000:06d}Z" if decimals else "Z")


def _raw(value: int | bytes) -> Any:
    inner = _bytes(dict(_pairs(_bytes(value))).get(1, b""))
    return json.loads(inner) if inner else None


_SCALARS: dict[str, Callable[[int | bytes], Any]] = {
    "string": lambda value: _bytes(value).decode(),
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "bool": lambda value: bool(_integer(value)),
    "int32": _integer,
    "int64": _integer,
    "double": _double,
    "quantity": _quantity,
    "intorstring": _int_or_string,
    "time": lambda value: _moment(value, False),
    "microtime": lambda value: _moment(value, True),
    "raw": _raw,
    "texts": lambda value: [_bytes(text).decode() for _, text in _pairs(_bytes(value))],
}


def _pairs(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of one message: varints as numbers, all else as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"illegal wireType {wire}")
        if at + size > len(data):
            raise ValueError("unexpected EOF")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at] if at < len(data) else -1
        if byte < 0:
            raise ValueError("unexpected EOF")
        if shift > 63:
            raise ValueError("integer overflow")
        at += 1
        result |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return result & (1 << 64) - 1, at
