"""What the scheduler knows of nodes: room, and who takes it. Kept up with every write, so that a look at a pod costs little."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lab.controllers.objects import is_finished, uid_of
from lab.kubernetes.kinds import NODE, POD
from lab.kubernetes.quantity import parse
from lab.kubernetes.store import Event, Store

Obj = dict[str, Any]
Amounts = dict[str, int]  # cpu in thousandths, everything else as it is

# What a container without requests counts for when nodes are compared (not when room is checked).
_DEFAULT_CPU, _DEFAULT_MEMORY = 100, 200 * 2**20


@lru_cache(maxsize=4096)
def amount(resource: str, quantity: str) -> int:
    """A quantity as a whole number, rounded up."""
    value = parse(quantity) * (1000 if resource == "cpu" else 1)
    whole = int(value)
    return whole if whole == value else whole + 1


def amounts(quantities: Obj | None) -> Amounts:
    """A list of resources as numbers."""
    return {resource: amount(resource, str(quantity)) for resource, quantity in (quantities or {}).items()}


def _add(total: Amounts, more: Amounts) -> None:
    for resource, number in more.items():
        total[resource] = total.get(resource, 0) + number


def pod_requests(pod: Obj) -> Amounts:
    """What a pod asks for: its containers together, or a larger init container; sidecars count all the time."""
    spec = pod["spec"]
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, amounts((container.get("resources") or {}).get("requests")))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        wanted = amounts((container.get("resources") or {}).get("requests"))
        if container.get("restartPolicy") == "Always":
            _add(sidecars, wanted)
        else:
            _add(wanted, sidecars)
        for resource, number in (sidecars if container.get("restartPolicy") == "Always" else wanted).items():
            peak[resource] = max(peak.get(resource, 0), number)
    _add(total, sidecars)
    for resource, number in peak.items():
        total[resource] = max(total.get(resource, 0), number)
    total.update(amounts((spec.get("resources") or {}).get("requests")))
    _add(total, amounts(spec.get("overhead")))
    return total


def host_ports(pod: Obj) -> set[tuple[str, str, int]]:
    """Ports that a pod takes on its node: address ("0.0.0.0" is all), protocol, number."""
    return {
        (port.get("hostIP") or "0.0.0.0", port.get("protocol", "TCP"), port["hostPort"])
        for container in (*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ()))
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }


def ports_clash(wanted: set[tuple[str, str, int]], taken: set[tuple[str, str, int]]) -> bool:
    """Whether one of the ports is taken already, on the same address or on all."""
    return any(
        protocol == other and number == port and (address == place or "0.0.0.0" in (address, place))
        for address, protocol, number in wanted
        for place, other, port in taken
    )


@dataclass(eq=False)
class PodRoom:
    """What one pod takes."""

    pod: Obj
    requests: Amounts
    ports: set[tuple[str, str, int]]

    @classmethod
    def of(cls, pod: Obj) -> PodRoom:
        """Computed once per pod."""
        return cls(pod, pod_requests(pod), host_ports(pod))

    def weight(self) -> tuple[int, int]:
        """cpu and memory for comparing nodes: a pod without requests takes something too."""
        return self.requests.get("cpu") or _DEFAULT_CPU, self.requests.get("memory") or _DEFAULT_MEMORY


@dataclass(eq=False)
class NodeRoom:
    """A node and what is left of it."""

    name: str
    node: Obj | None = None
    allocatable: Amounts = field(default_factory=dict)
    taken: Amounts = field(default_factory=dict)
    cpu_weight: int = 0
    memory_weight: int = 0
    pods: dict[str, PodRoom] = field(default_factory=dict)  # by uid
    ports: set[tuple[str, str, int]] = field(default_factory=set)

    def put(self, room: PodRoom) -> None:
        """Take a pod in (again: with what it asks for now)."""
        self.drop(uid_of(room.pod))
        self.pods[uid_of(room.pod)] = room
        _add(self.taken, room.requests)
        cpu, memory = room.weight()
        self.cpu_weight += cpu
        self.memory_weight += memory
        self.ports |= room.ports

    def drop(self, uid: str) -> None:
        """Let a pod out."""
        room = self.pods.pop(uid, None)
        if room is None:
            return
        for resource, number in room.requests.items():
            self.taken[resource] -= number
        cpu, memory = room.weight()
        self.cpu_weight -= cpu
        self.memory_weight -= memory
        if room.ports:
            self.ports = set().union(*(other.ports for other in self.pods.values()))


class Cluster:
    """All nodes with their pods, as fresh as the store; pods may also be placed here ahead of their binding."""

    def __init__(self, store: Store) -> None:
        self._rooms: dict[str, NodeRoom] = {}
        self._place: dict[str, str] = {}  # pod uid -> node
        self.with_anti_affinity: dict[str, Obj] = {}  # pods by uid
        for node in store.items(NODE):
            self._take_node(node)
        for pod in store.items(POD):
            self.see_pod(pod)
        self._stops = [store.listen(NODE, self._node_changed), store.listen(POD, self._pod_changed)]

    def close(self) -> None:
        """Stop listening."""
        for stop in self._stops:
            stop()

    def nodes(self) -> list[NodeRoom]:
        """Nodes that exist (a pod may name one that does not)."""
        return [room for room in self._rooms.values() if room.node is not None]

    def _room(self, name: str) -> NodeRoom:
        return self._rooms.setdefault(name, NodeRoom(name))

    def _take_node(self, node: Obj) -> None:
        room = self._room(node["metadata"]["name"])
        status = node.get("status", {})
        room.node = node
        room.allocatable = amounts(status.get("allocatable") or status.get("capacity"))

    def _node_changed(self, event: Event) -> None:
        if event.type != "DELETED":
            self._take_node(event.object)
            return
        room = self._room(event.object["metadata"]["name"])
        room.node = None
        if not room.pods:
            del self._rooms[room.name]

    def _pod_changed(self, event: Event) -> None:
        if event.type == "DELETED" or is_finished(event.object):
            self.forget(uid_of(event.object))
        elif event.old is None or event.old["spec"] is not event.object["spec"] or event.old["metadata"] is not event.object["metadata"]:
            self.see_pod(event.object)

    def see_pod(self, pod: Obj) -> None:
        """Note a pod that has a node."""
        node = pod["spec"].get("nodeName")
        if node and not is_finished(pod):
            self.place(pod, node)

    def place(self, pod: Obj, node: str) -> None:
        """Count a pod on a node."""
        uid = uid_of(pod)
        before = self._place.get(uid)
        if before == node:
            known = self._rooms[node].pods[uid]
            if known.pod["spec"].get("containers") is pod["spec"].get("containers"):
                known.pod = pod
                return
        elif before is not None:
            self._rooms[before].drop(uid)
        self._place[uid] = node
        self._room(node).put(PodRoom.of(pod))
        if "requiredDuringSchedulingIgnoredDuringExecution" in ((pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}):
            self.with_anti_affinity[uid] = pod

    def forget(self, uid: str) -> None:
        """A pod is gone, or ended."""
        node = self._place.pop(uid, None)
        if node is not None:
            self._rooms[node].drop(uid)
        self.with_anti_affinity.pop(uid, None)

    def node_of(self, uid: str) -> str | None:
        """Where a pod is counted."""
        return self._place.get(uid)
