"""Which pods stand behind a service, from its endpoint slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Obj = dict[str, Any]

_SERVICE_NAME = "kubernetes.io/service-name"


def service_of(endpoint_slice: Obj) -> Iterable[tuple[str, str]]:
    """Namespace and name of the service that a slice belongs to, for an index."""
    name = (endpoint_slice["metadata"].get("labels") or {}).get(_SERVICE_NAME)
    return ((endpoint_slice["metadata"]["namespace"], name),) if name else ()


def endpoints_of(slices: Iterable[Obj]) -> Iterator[Obj]:
    """The endpoints that traffic may go to: the ready ones, or, when there are none, those that end but still serve."""
    found = [endpoint for one in slices for endpoint in one.get("endpoints") or ()]
    ready = [endpoint for endpoint in found if (endpoint.get("conditions") or {}).get("ready", True)]
    yield from ready or [endpoint for endpoint in found if (endpoint["conditions"]).get("serving") and endpoint["conditions"].get("terminating")]


def targets_of(slices: Iterable[Obj], port_name: str, node: str | None = None) -> list[tuple[str, int]]:
    """Addresses and ports behind one port of a service, if wanted only those on one node."""
    found = []
    for one in slices:
        numbers = [port["port"] for port in one.get("ports") or () if port.get("name", "") == port_name and port.get("port")]
        for endpoint in endpoints_of([one]):
            if node is None or endpoint.get("nodeName") == node:
                found += [(endpoint["addresses"][0], number) for number in numbers]
    return found
