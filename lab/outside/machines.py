"""Google's machine types: how much CPU and memory a name means, and which quota it counts to."""

from __future__ import annotations

import re
from dataclasses import dataclass

_GB_PER_CPU = {
    "e2-standard": 4.0, "e2-highmem": 8.0, "e2-highcpu": 1.0, "n1-standard": 3.75, "n1-highmem": 6.5, "n1-highcpu": 0.9, "n2-standard": 4.0,
    "n2-highmem": 8.0, "n2-highcpu": 1.0, "n2d-standard": 4.0, "n2d-highmem": 8.0, "n2d-highcpu": 1.0, "n4-standard": 4.0, "n4-highmem": 8.0,
    "n4-highcpu": 2.0, "c2-standard": 4.0, "c2d-standard": 4.0, "c2d-highmem": 8.0, "c2d-highcpu": 2.0, "c3-standard": 4.0, "c3-highmem": 8.0,
    "c3-highcpu": 2.0, "c3d-standard": 4.0, "c3d-highmem": 8.0, "c3d-highcpu": 2.0, "c4-standard": 3.75, "t2d-standard": 4.0,
}  # fmt: skip
_SHARED = {"e2-micro": (2, 1.0), "e2-small": (2, 2.0), "e2-medium": (2, 4.0), "g1-small": (1, 1.7), "f1-micro": (1, 0.6)}
_NAME = re.compile(r"([a-z]+\d+d?-[a-z]+)-(\d{1,3})")
_CUSTOM = re.compile(r"(?:([a-z]+\d+d?)-)?custom-(\d{1,3})-(\d{3,7})(?:-ext)?")


@dataclass(frozen=True)
class MachineType:
    """What one name means."""

    name: str
    cpus: int
    memory_mb: int

    @property
    def family(self) -> str:
        """`e2`, `n2d`, …"""
        first = self.name.partition("-")[0]
        return "n1" if first in ("custom", "g1", "f1") else first

    @property
    def quota(self) -> str:
        """The quota that its CPUs count to: the older families share one."""
        return "CPUS" if self.family in ("e2", "n1") else f"{self.family.upper()}_CPUS"


def machine_type(name: str) -> MachineType | None:
    """A type by its name; None when Google has none of that name."""
    if name in _SHARED:
        cpus, gigabytes = _SHARED[name]
        return MachineType(name, cpus, int(gigabytes * 1024))
    if (match := _NAME.fullmatch(name)) and match[1] in _GB_PER_CPU and int(match[2]) > 0:
        return MachineType(name, int(match[2]), int(_GB_PER_CPU[match[1]] * int(match[2]) * 1024))
    if match := _CUSTOM.fullmatch(name):
        return MachineType(name, int(match[2]), int(match[3]))
    return None
