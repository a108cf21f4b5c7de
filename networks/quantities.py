"""Quantities as Kubernetes writes them: 100m, 2Gi, 1e3. Exact: nothing here is a float."""

from __future__ import annotations

import re
from decimal import Decimal

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal("1e3"), "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"), "E": Decimal("1e18"),
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30}))(?:([eE][+-]?[0-9]{1,2})|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]))?")
LARGEST = Decimal(2**63 - 1)


class QuantityError(ValueError):
    """Not a quantity."""


def parse(text: str) -> Decimal:
    """The number that a quantity stands for: `100m` is 0.1, `2Gi` is 2147483648. QuantityError on anything else."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise QuantityError(f"{repr(text[:40])[:80]} is not a quantity: write a number with an optional unit, like 100m, 2, 512Mi or 10Gi")
    number, exponent, suffix = found.groups()
    value = Decimal(number + (exponent or "")) * (_BINARY.get(suffix) or _DECIMAL[suffix or ""])
    if abs(value) > LARGEST:
        raise QuantityError(f"{repr(text[:40])[:80]} is larger than any quantity can be")
    return value


def parse_cpu(text: str) -> Decimal:
    """Processor cores: more than 0, in steps of a thousandth."""
    cores = parse(text)
    if cores <= 0:
        raise QuantityError(f"{repr(text[:40])[:80]} cpu: must be more than 0")
    if cores != cores.quantize(Decimal("0.001")):
        raise QuantityError(f"{repr(text[:40])[:80]} cpu: the smallest step is 1m (a thousandth of a core)")
    return cores


def parse_bytes(text: str) -> int:
    """Bytes of memory or disk: more than 0. A bare number is bytes, as in Kubernetes."""
    size = parse(text)
    if size <= 0:
        raise QuantityError(f"{repr(text[:40])[:80]} bytes: must be more than 0")
    if size != size.to_integral_value():
        raise QuantityError(f"{repr(text[:40])[:80]} bytes: not a whole number of bytes")
    return int(size)


def format_cpu(cores: Decimal) -> str:
    """Cores for people: 0.1 is `100m`, 2 is `2`."""
    return str(int(cores)) if cores == cores.to_integral_value() else f"{int(cores * 1000)}m"


def format_bytes(size: int) -> str:
    """Bytes for people, in the largest binary unit that needs no more than one decimal place: `2Gi`, `1.5Gi`."""
    for unit in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
        scale = int(_BINARY[unit])
        if size >= scale:
            number = Decimal(size) / scale
            return f"{int(number)}{unit}" if number == number.to_integral_value() else f"{number:.1f}{unit}"
    return str(size)
