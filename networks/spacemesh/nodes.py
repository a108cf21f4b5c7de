"""Worker nodes: who is pinned where, does everything fit, how many machines would it take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from networks import quantities
from networks.spacemesh.settings import Frozen, Settings


@dataclass(frozen=True)
class WorkerNode:
    """A Kubernetes worker node.

    `cpu` and `memory`: what is free there for this network, as quantities (allocatable, less what pods of others ask for).
    """

    name: str
    external_ip: str
    internal_ip: str
    cpu: str
    memory: str
    unschedulable: bool = False
    hostname: str = ""  # label kubernetes.io/hostname, when it is not the name

    def address(self, kind: str) -> str:
        """The address that others reach it by; external falls back to internal."""
        return (self.external_ip or self.internal_ip) if kind == "external" else self.internal_ip


class Pin(Frozen):
    """A miner's fixed place: the worker node's hostname label and the address that others reach it by."""

    node: str
    address: str


@dataclass(frozen=True)
class Load:
    """What one pod asks for."""

    name: str
    cpu: str
    memory: str
    pinned_to: str = ""


@dataclass(frozen=True)
class Misfit:
    """A pod for which there is no room, and why."""

    load: Load
    why: str


def usable(nodes: Iterable[WorkerNode]) -> tuple[WorkerNode, ...]:
    """Schedulable nodes in a fixed order: by name, whatever order the API lists them in."""
    return tuple(sorted((node for node in nodes if not node.unschedulable), key=lambda node: node.name))


def round_robin(count: int, nodes: Sequence[WorkerNode], kind: str) -> tuple[Pin, ...]:
    """Places for `count` miners, over the nodes in turn, so that losing one machine does not lose all of them."""
    return tuple(Pin(node=node.hostname or node.name, address=node.address(kind)) for node in (nodes[i % len(nodes)] for i in range(count)))


def misfits(loads: Iterable[Load], nodes: Sequence[WorkerNode]) -> tuple[Misfit, ...]:
    """Which pods would find no room, placing them one after another as the scheduler does: where most is free."""
    free = {node.hostname or node.name: [quantities.parse(node.cpu), quantities.parse(node.memory)] for node in nodes}
    whole = {name: tuple(amounts) for name, amounts in free.items()}
    found = []
    for load in loads:
        cpu, memory = quantities.parse(load.cpu), quantities.parse(load.memory)
        places = [load.pinned_to] if load.pinned_to else list(free)
        fitting = [name for name in places if name in free and free[name][0] >= cpu and free[name][1] >= memory]
        if not fitting:
            found.append(Misfit(load, _why(load, places, free)))
            continue
        best = max(fitting, key=lambda name: _share_left(free[name], whole[name], cpu, memory))
        free[best][0] -= cpu
        free[best][1] -= memory
    return tuple(found)


def _share_left(free: Sequence[Decimal], whole: Sequence[Decimal], cpu: Decimal, memory: Decimal) -> Decimal:
    """What share of a node would stay free: the scheduler's LeastAllocated score."""
    return (free[0] - cpu) / whole[0] + (free[1] - memory) / whole[1]


def _why(load: Load, places: Sequence[str], free: dict[str, list[Decimal]]) -> str:
    asked = f"asks for {load.cpu} cpu and {load.memory} memory"
    if load.pinned_to and load.pinned_to not in free:
        return f"{asked} on worker node {load.pinned_to}, which is not there or not schedulable"
    cpu = max((free[name][0] for name in places), default=Decimal(0))
    memory = max((free[name][1] for name in places), default=Decimal(0))
    where = f"worker node {load.pinned_to} has" if load.pinned_to else "no worker node has more than"
    return f"{asked}; {where} {quantities.format_cpu(cpu)} cpu and {quantities.format_bytes(int(memory))} memory left"


def node_count(loads: Iterable[Load], machine_cpu: int, machine_memory_gib: int) -> int:
    """Machines for all of it: the larger of ⌈Σcpu / machine cpu⌉ and ⌈Σmemory / machine memory⌉, at least 1."""
    loads = tuple(loads)
    cpu = sum((quantities.parse_cpu(load.cpu) for load in loads), Decimal(0))
    memory = sum(quantities.parse_bytes(load.memory) for load in loads)
    return max(1, math.ceil(cpu / machine_cpu), math.ceil(Decimal(memory) / (machine_memory_gib * 2**30)))


def later_loads(settings: Settings) -> tuple[Load, ...]:
    """What the log stack and the watching will ask for, once they are deployed with the network: counted for a cluster made for it."""
    logs, watch = settings.logs, settings.watch
    loads = [Load(f"elasticsearch-{i}", logs.elasticsearch_cpu, logs.elasticsearch_memory) for i in range(logs.elasticsearch_replicas)]
    loads.append(Load("kibana", logs.kibana_cpu, logs.kibana_memory))
    if watch.metrics:
        loads.append(Load("prometheus", watch.prometheus_cpu, watch.prometheus_memory))
    if watch.profiler:
        loads.append(Load("pyroscope", watch.profiler_cpu, watch.profiler_memory))
    if watch.slack_alerts:
        loads.append(Load("spacemesh-watch", "100m", "256Mi"))
    return tuple(loads)
