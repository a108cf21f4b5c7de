"""Compute Engine's disks: which there are, who uses them, how they are found. No HTTP."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.clock import Clock

Obj = dict[str, Any]
Users = Callable[[], list[str]]

_API = "https://www.googleapis.com/compute/v1"
_TERM = re.compile(r'\s*(?:(AND)\s+)?\(?\s*(NOT\s+|-)?([A-Za-z][\w.-]*)\s*(!=|=|:|\beq\b|\bne\b)\s*("(?:[^"\\]|\\.)*"|\'[^\']*\'|[^\s()]+)\s*\)?')


class FilterError(ValueError):
    """A filter that cannot be read."""


@dataclass
class Disk:
    """A persistent disk."""

    project: str
    zone: str
    name: str
    size_gb: int
    type: str = "pd-balanced"
    labels: dict[str, str] = field(default_factory=dict)
    description: str = ""
    users: Users = list  # names of instances that it is attached to
    created: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by."""
        return self.project, self.zone, self.name

    @property
    def path(self) -> str:
        """`projects/p/zones/z/disks/d`."""
        return f"projects/{self.project}/zones/{self.zone}/disks/{self.name}"

    def shown(self) -> Obj:
        """As the API shows it."""
        zone = f"{_API}/projects/{self.project}/zones/{self.zone}"
        shown: Obj = {
            "kind": "compute#disk", "id": numeric_id(self.path + self.created), "creationTimestamp": self.created, "name": self.name,
            "sizeGb": str(self.size_gb), "zone": zone, "status": "READY", "selfLink": f"{_API}/{self.path}", "type": f"{zone}/diskTypes/{self.type}",
            "labelFingerprint": fingerprint(self.labels), "physicalBlockSizeBytes": "4096",
        }  # fmt: skip
        if self.description:
            shown["description"] = self.description
        if self.labels:
            shown["labels"] = self.labels
        if users := self.users():
            shown["users"] = [f"{zone}/instances/{name}" for name in users]
        return shown


class Disks:
    """All disks of all projects."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._disks: dict[tuple[str, str, str], Disk] = {}

    def add(self, disk: Disk) -> Disk:
        """Make one."""
        disk.created = self._clock.now().isoformat(timespec="milliseconds")
        self._disks[disk.key] = disk
        return disk

    def remove(self, key: tuple[str, str, str]) -> None:
        """Delete one, if it is there."""
        self._disks.pop(key, None)

    def get(self, key: tuple[str, str, str]) -> Disk | None:
        """One of them."""
        return self._disks.get(key)

    def find(self, project: str, zone: str | None = None, text: str = "") -> list[Disk]:
        """Those of a project, or of one of its zones, that a filter lets through, by name."""
        test = read_filter(text)
        found = [disk for disk in self._disks.values() if disk.project == project and zone in (None, disk.zone) and test(disk.shown())]
        return sorted(found, key=lambda disk: (disk.zone, disk.name))

    def all(self) -> list[Disk]:
        """Every one."""
        return list(self._disks.values())

    def gigabytes(self, project: str, region: str, kinds: tuple[str, ...]) -> int:
        """How much of a quota is used."""
        return sum(disk.size_gb for disk in self.find(project) if disk.zone.rpartition("-")[0] == region and disk.type in kinds)


def read_filter(text: str) -> Callable[[Obj], bool]:
    """The part of Compute's filter language that people use: `labels.x=y`, `labels.x:*`, `name eq regex`, `-users:*`, joined by AND or blanks."""
    tests: list[Callable[[Obj], bool]] = []
    position = 0
    while text[position:].strip():
        match = _TERM.match(text, position)
        if not match:
            raise FilterError(f"Invalid value for field 'filter': '{text}'. Invalid list filter expression.")
        _, negated, name, operator, value = match.groups()
        test = _term(name, operator, value.strip("\"'"))
        tests.append(test if not negated else _negated(test))
        position = match.end()
    return lambda shown: all(test(shown) for test in tests)


def _negated(test: Callable[[Obj], bool]) -> Callable[[Obj], bool]:
    return lambda shown: not test(shown)


def _term(name: str, operator: str, wanted: str) -> Callable[[Obj], bool]:
    path = name.split(".", 1)

    def value(shown: Obj) -> Any:
        found = shown.get(path[0])
        return found.get(path[1]) if len(path) > 1 and isinstance(found, dict) else found

    def holds(shown: Obj) -> bool:
        found = value(shown)
        if operator in ("eq", "ne"):
            return found is not None and re.fullmatch(wanted, str(found)) is not None
        if operator == ":":
            return found is not None and (wanted == "*" or wanted.strip("*") in (found if isinstance(found, list) else str(found)))
        return found is not None and str(found) == wanted

    return _negated(holds) if operator in ("!=", "ne") else holds


def numeric_id(text: str) -> str:
    """A number for something, the same each time."""
    return str(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big"))


def fingerprint(labels: dict[str, str]) -> str:
    """Changes when the labels do."""
    return hashlib.blake2b(repr(sorted(labels.items())).encode(), digest_size=4).hexdigest()
