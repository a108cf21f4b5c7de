"""Partitions between pods: while such a fault stands, connections between the pods that it names are refused, and those that stand are cut.

Who is who is told by addresses: programs, processes and the ways of services come from their pod's own.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Iterable
from typing import Any

from lab.controllers.controller import Index
from lab.faults import Fault, Faults
from lab.kubernetes.kinds import POD
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]


class Partitions:
    """Knows who must not talk to whom, and the connections that may have to go."""

    def __init__(self, registry: Registry, faults: Faults) -> None:
        self._faults = faults
        self._pods = Index(registry.store, POD, _address_of)
        self._open: weakref.WeakKeyDictionary[asyncio.BaseTransport, tuple[str, str]] = weakref.WeakKeyDictionary()
        self.close = self._pods.close

    def cut(self, one: str, other: str) -> bool:
        """Whether a connection between two addresses must not be. Counted as a hit."""
        standing = self._standing()
        if not standing or one == other:
            return False
        names = [[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in self._pods.get(address)] for address in (one, other)]
        for fault in standing:
            if any(_between(fault, here, there) for here in names[0] for there in names[1]):
                fault.hits += 1
                return True
        return False

    def watch(self, transport: asyncio.BaseTransport, one: str, other: str) -> None:
        """A connection has come to be between two addresses: it is cut when, and as soon as, they are apart."""
        if self.cut(one, other):
            _abort(transport)
        else:
            self._open[transport] = one, other

    def look(self) -> None:
        """Cut what must not be any more."""
        if self._standing():
            for transport, (one, other) in list(self._open.items()):
                if not _is_closing(transport) and self.cut(one, other):
                    _abort(transport)

    def _standing(self) -> list[Fault]:
        return [fault for fault in self._faults.all() if fault.place == "pod" and fault.effect == "partition"]


def _address_of(pod: Obj) -> Iterable[str]:
    """Pods on their node's network have no address of their own, finished ones none any more."""
    status = pod.get("status") or {}
    mine = status.get("podIP") and not pod["spec"].get("hostNetwork") and status.get("phase") not in ("Succeeded", "Failed")
    return (status["podIP"],) if mine else ()


def _between(fault: Fault, one: str, other: str) -> bool:
    sides = (fault.target, str(fault.options.get("from", "")))
    return any(re.search(sides[0], here) and re.search(sides[1], there) for here, there in ((one, other), (other, one)))


def _is_closing(transport: asyncio.BaseTransport) -> bool:
    return isinstance(transport, asyncio.Transport) and transport.is_closing()


def _abort(transport: asyncio.BaseTransport) -> None:
    if isinstance(transport, asyncio.Transport):
        transport.abort()
