"""What all pods of a lab share, and what the pods of one node share."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.addresses import AddressBlock
from lab.clock import Clock
from lab.controllers.events import Recorder
from lab.faults import Faults
from lab.kubelet.backoff import Backoff
from lab.kubelet.volumes import TokenMaker
from lab.kubernetes.registry import Context, Registry

Obj = dict[str, Any]


def _opaque_token(pod: Obj, account: str, audience: str, seconds: int) -> str:
    """A token that nobody knows: for labs whose API has no say in tokens."""
    del pod, account, audience, seconds
    return secrets.token_urlsafe(48)


@dataclass
class Surroundings:
    """The lab around the pods."""

    registry: Registry
    addresses: AddressBlock
    faults: Faults
    state: Path  # the lab's own directory
    shared: dict[str, Any] = field(default_factory=dict)  # given to every program; the kubelet adds `resolve` (cluster DNS) and `partitions`
    token: TokenMaker = _opaque_token

    @property
    def clock(self) -> Clock:
        """The lab's clock."""
        return self.registry.clock


@dataclass
class Machine:
    """One node as its pods see it."""

    name: str
    internal_ip: str
    external_ip: str
    recorder: Recorder
    images: set[str] = field(default_factory=set)  # pulled already
    image_backoff: Backoff = field(default_factory=Backoff)
    pull_failures: dict[str, tuple[float, str]] = field(default_factory=dict)  # by pod and image: when, and what went wrong
    lost: bool = False  # nothing runs there, nobody answers
    silent: bool = False  # it posts no status, and all goes on
    neighbours: Callable[[str], list[Obj]] = lambda uid: []  # the pods that run there, without one

    @property
    def context(self) -> Context:
        """Who writes the statuses of its pods."""
        return Context(f"system:node:{self.name}", ("system:nodes", "system:authenticated"), manager="kubelet")
