"""Who asks, and how: what every write carries besides its object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Obj = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """The asker and the options of a write."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    manager: str = "unknown"  # field manager
    dry_run: bool = False
    field_validation: str = "Ignore"
    warnings: list[str] | None = None  # where warnings for the asker are collected; None: nobody reads them
    extra: dict[str, list[str]] = field(default_factory=dict)

    def warn(self, text: str) -> None:
        """Tell the asker something that is not an error (a Warning header)."""
        if self.warnings is not None and text not in self.warnings:
            self.warnings.append(text)


SYSTEM = Context("system:kube-controller-manager", ("system:masters", "system:authenticated"), manager="kube-controller-manager")


@dataclass(frozen=True)
class DeleteOptions:
    """What a delete may ask for; None is what the kind does by itself."""

    grace: int | None = None  # seconds
    propagation: str | None = None  # Background, Foreground, Orphan
    uid: str | None = None  # preconditions
    resource_version: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Deleted:
    """What a delete did: the last state, and whether the object is gone already (else it waits for finalizers or grace)."""

    object: Obj
    gone: bool
