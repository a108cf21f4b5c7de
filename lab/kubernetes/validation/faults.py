"""Collecting what is wrong with an object, in the API server's words."""

from __future__ import annotations

import re
from typing import Any

from lab.kubernetes.errors import FieldError
from lab.kubernetes.gotext import go_json, quoted

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")

NOT_A_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character "
    "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
NOT_A_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NOT_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
    "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
NOT_A_LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
NOT_A_DATA_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for "
    "validation is '[-._a-zA-Z0-9]+')"
)
NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"


class Faults:
    """The faults found so far; paths are texts like `spec.containers[0].name`."""

    def __init__(self) -> None:
        self.found: list[FieldError] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def _add(self, reason: str, path: str, message: str) -> None:
        self.found.append(FieldError(reason, message, path))

    def required(self, path: str, why: str = "") -> None:
        """Something that must be there is not."""
        self._add("FieldValueRequired", path, f"Required value: {why}" if why else "Required value")

    def invalid(self, path: str, value: Any, why: str) -> None:
        """A value that will not do."""
        self._add("FieldValueInvalid", path, f"Invalid value: {shown(value)}: {why}")

    def unsupported(self, path: str, value: Any, supported: tuple[str, ...]) -> None:
        """A value outside a fixed choice."""
        choice = ", ".join(quoted(each) for each in supported)
        self._add("FieldValueNotSupported", path, f"Unsupported value: {shown(value)}: supported values: {choice}")

    def forbidden(self, path: str, why: str) -> None:
        """Something that may not be there, or may not change."""
        self._add("FieldValueForbidden", path, f"Forbidden: {why}")

    def duplicate(self, path: str, value: Any) -> None:
        """The same thing twice."""
        self._add("FieldValueDuplicate", path, f"Duplicate value: {shown(value)}")

    def not_found(self, path: str, value: Any) -> None:
        """A name that refers to nothing in this object."""
        self._add("FieldValueNotFound", path, f"Not found: {shown(value)}")

    def too_long(self, path: str, limit: int, unit: str = "bytes") -> None:
        """Too much of it."""
        self._add("FieldValueTooLong", path, f"Too long: may not be more than {limit} {unit}")

    # Checks that many fields share

    def label_name(self, path: str, value: str) -> None:
        """A DNS label."""
        for why in dns_label(value):
            self.invalid(path, value, why)

    def subdomain_name(self, path: str, value: str) -> None:
        """A DNS subdomain."""
        for why in dns_subdomain(value):
            self.invalid(path, value, why)

    def not_negative(self, path: str, value: Any) -> None:
        """A count."""
        if isinstance(value, int) and value < 0:
            self.invalid(path, value, NEGATIVE)

    def port_number(self, path: str, value: Any) -> None:
        """A TCP or UDP port."""
        if not 1 <= value <= 65535:
            self.invalid(path, value, "must be between 1 and 65535, inclusive")

    def choice(self, path: str, value: str | None, supported: tuple[str, ...]) -> None:
        """One of a few words; absence is for defaults to deal with."""
        if value is not None and value not in supported:
            self.unsupported(path, value, supported)

    def unchanged(self, path: str, old: Any, new: Any) -> None:
        """A field that keeps its first value."""
        if old != new:
            self.invalid(path, new, IMMUTABLE)


def shown(value: Any) -> str:
    """A value as messages quote it: text in quotes, everything else as JSON."""
    return quoted(value) if isinstance(value, str) else go_json(value) if isinstance(value, dict | list) else str(value)


def dns_label(value: str) -> list[str]:
    """What is wrong with a DNS label."""
    faults = ["must be no more than 63 characters"] if len(value) > 63 else []
    if not LABEL.fullmatch(value):
        faults.append("must not contain dots" if SUBDOMAIN.fullmatch(value) else NOT_A_LABEL)
    return faults


def dns_subdomain(value: str) -> list[str]:
    """What is wrong with a DNS subdomain."""
    faults = ["must be no more than 253 characters"] if len(value) > 253 else []
    if not SUBDOMAIN.fullmatch(value):
        faults.append(NOT_A_SUBDOMAIN)
    return faults


def qualified_name(value: str) -> list[str]:
    """What is wrong with a label's or annotation's key."""
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        return ["a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"]
    faults = []
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif slash:
        faults += [f"prefix part {why}" for why in dns_subdomain(prefix)]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 bytes")
    if not QUALIFIED.fullmatch(name):
        faults.append(NOT_QUALIFIED)
    return faults


def label_value(value: str) -> list[str]:
    """What is wrong with a label's value."""
    faults = ["must be no more than 63 bytes"] if len(value.encode()) > 63 else []
    if not LABEL_VALUE.fullmatch(value):
        faults.append(NOT_A_LABEL_VALUE)
    return faults
