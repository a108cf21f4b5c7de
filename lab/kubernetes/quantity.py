"""Amounts: `250m`, `64Mi`, `1e3`. Parsing, comparing and the server's canonical form."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from functools import lru_cache

BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
PATTERN = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_SUFFIX = "unable to parse quantity's suffix"
NANO = Decimal(1).scaleb(-9)
WIDE = Context(prec=100)  # exabytes to nanos


def _split(text: str) -> tuple[Decimal, str]:
    """The value and what its suffix was: binary, exponent or decimal."""
    match = PATTERN.fullmatch(text)
    if not match or match[1].count(".") > 1 or not any(digit.isdigit() for digit in match[1]):
        raise ValueError(WRONG_FORMAT)
    number, suffix = Decimal(match[1]), match[2]
    if suffix in BINARY:
        value, form = number * 1024 ** BINARY[suffix], "binary"
    elif suffix in DECIMAL:
        value, form = number.scaleb(DECIMAL[suffix]), "decimal"
    elif re.fullmatch(r"[eE][-+]?[0-9]+", suffix):
        value, form = number.scaleb(int(suffix[1:])), "exponent"
    else:
        raise ValueError(WRONG_SUFFIX)
    return value.quantize(NANO, ROUND_CEILING) if value % NANO else value, form


@lru_cache(4096)
def parse(quantity: str | int | float) -> Decimal:
    """The amount as a number: bytes, cores. ValueError with the server's text when it is none."""
    with localcontext(WIDE):
        return _split(str(quantity).strip())[0]


@lru_cache(4096)
def canonical(quantity: str | int | float) -> str:
    """As the server writes it: `0.5` → `500m`, `1024Mi` → `1Gi`, `1000` → `1k`."""
    with localcontext(WIDE):
        return _written(*_split(str(quantity).strip()))


def _written(value: Decimal, form: str) -> str:
    if value == 0:
        return "0"
    if form == "binary" and abs(value) >= 1024:
        number, steps = int(value.to_integral_value(ROUND_CEILING)), 0
        while number % 1024 == 0 and steps < 6:
            number, steps = number // 1024, steps + 1
        return f"{number}{['', *BINARY][steps]}"
    exponent = -9
    number = int(value.scaleb(9))
    while number % 1000 == 0 and exponent < 18:
        number, exponent = number // 1000, exponent + 3
    if form == "exponent":
        return f"{number}e{exponent}" if exponent else str(number)
    return f"{number}{next(suffix for suffix, power in DECIMAL.items() if power == exponent)}"
