"""Formats of strings that the server checks; it takes no notice of others."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+|0")
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def read_duration(text: str) -> timedelta:
    """Go's `1h30m`; ValueError when it is none."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"not a duration: {text}")
    seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


def read_date_time(text: str) -> datetime:
    """RFC 3339; ValueError when it is none."""
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"not a date-time: {text}")
    return datetime.fromisoformat(text.upper().replace("Z", "+00:00"))


def _base64(text: str) -> object:
    return base64.b64decode(text, validate=True)


def _matching(pattern: str) -> Callable[[str], object]:
    compiled = re.compile(pattern)

    def check(text: str) -> None:
        if not compiled.fullmatch(text):
            raise ValueError(text)

    return check


_CHECKS: dict[str, Callable[[str], object]] = {
    "date-time": read_date_time,
    "datetime": read_date_time,
    "date": date.fromisoformat,
    "duration": read_duration,
    "byte": _base64,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": lambda text: ipaddress.ip_interface(text) if "/" in text else _base64("-"),
    "uuid": _matching(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"),
    "email": _matching(r"[^@\s]+@[^@\s]+"),
    "mac": _matching(r"(?i)([0-9a-f]{2}[:-]){5}[0-9a-f]{2}"),
    "hostname": _matching(r"(?i)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*"),
    "uri": _matching(r"(?i)[a-z][a-z0-9+.-]*:.*|/.*"),
}


def fits_format(form: str, text: str) -> bool:
    """Whether a string has a format."""
    check = _CHECKS.get(form)
    if check is None:
        return True
    try:
        check(text)
    except (ValueError, binascii.Error):
        return False
    return True
