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
    `taken_ports`: host ports that pods of others have there; another network's miners have the same ones as this network's.
    `gpus`: how many GPUs are free there, all of type `gpu_type`; `gpus_only`: pods that ask for none are kept away.
    """

    name: str
    external_ip: str
    internal_ip: str
    cpu: str
    memory: str
    unschedulable: bool = False
    hostname: str = ""  # label kubernetes.io/hostname, when it is not the name
    taken_ports: frozenset[int] = frozenset()
    gpus: int = 0
    gpu_type: str = ""
    gpus_only: bool = False

    def address(self, kind: str) -> str:
        """The address that others reach it by; external falls back to internal."""
        return (self.external_ip or self.internal_ip) if kind == "external" else self.internal_ip

    def takes(self, gpus: int, gpu_type: str) -> bool:
        """Whether a pod that asks for so many GPUs (of this type, "": of any) may run there at all."""
        if not gpus:
            return not self.gpus_only
        return self.gpus >= gpus and gpu_type in ("", self.gpu_type)


class Pin(Frozen):
    """A miner's fixed place: the worker node's hostname label and the address that others reach it by."""

    node: str
    address: str


@dataclass(frozen=True)
class Load:
    """What one pod asks for. `host_port` 0: none."""

    name: str
    cpu: str
    memory: str
    pinned_to: str = ""
    host_port: int = 0
    gpus: int = 0
    gpu_type: str = ""


@dataclass(frozen=True)
class Misfit:
    """A pod for which there is no room, and why."""

    load: Load
    why: str


def usable(nodes: Iterable[WorkerNode]) -> tuple[WorkerNode, ...]:
    """Schedulable nodes in a fixed order: by name, whatever order the API lists them in."""
    return tuple(sorted((node for node in nodes if not node.unschedulable), key=lambda node: node.name))


def round_robin(host_ports: Sequence[int], nodes: Sequence[WorkerNode], kind: str) -> tuple[Pin, ...]:
    """A place for each pod, over the nodes in turn, so that losing one machine does not lose all of them.

    `host_ports`: what each needs of its machine, 0 for nothing. A node where the port is taken is passed over.
    """
    pins = []
    for turn, port in enumerate(host_ports):
        in_order = [nodes[(turn + step) % len(nodes)] for step in range(len(nodes))]
        node = next((node for node in in_order if port not in node.taken_ports), in_order[0])
        pins.append(Pin(node=node.hostname or node.name, address=node.address(kind)))
    return tuple(pins)


def misfits(loads: Iterable[Load], nodes: Sequence[WorkerNode]) -> tuple[Misfit, ...]:
    """Which pods would find no room, placing them one after another as the scheduler does: where most is free."""
    by_name = {node.hostname or node.name: node for node in nodes}
    free = {name: [quantities.parse(node.cpu), quantities.parse(node.memory), Decimal(node.gpus)] for name, node in by_name.items()}
    whole = {name: tuple(amounts) for name, amounts in free.items()}
    taken = {node.hostname or node.name: node.taken_ports for node in nodes}
    found = []
    for load in loads:
        cpu, memory = quantities.parse(load.cpu), quantities.parse(load.memory)
        places = [load.pinned_to] if load.pinned_to else list(free)
        right = [name for name in places if name not in by_name or by_name[name].takes(load.gpus, load.gpu_type)]
        open_at = [name for name in right if load.host_port not in taken.get(name, ())]
        wanted = (cpu, memory, Decimal(load.gpus))
        fitting = [name for name in open_at if name in free and all(have >= need for have, need in zip(free[name], wanted, strict=True))]
        if not fitting:
            found.append(Misfit(load, _why(load, open_at, free) if right else _wrong_machines(load)))
            continue
        best = max(fitting, key=lambda name: _share_left(free[name], whole[name], cpu, memory))
        free[best][0] -= cpu
        free[best][1] -= memory
        free[best][2] -= load.gpus
    return tuple(found)


def _share_left(free: Sequence[Decimal], whole: Sequence[Decimal], cpu: Decimal, memory: Decimal) -> Decimal:
    """What share of a node would stay free: the scheduler's LeastAllocated score."""
    return (free[0] - cpu) / whole[0] + (free[1] - memory) / whole[1]


def _wrong_machines(load: Load) -> str:
    if not load.gpus:
        return "all worker nodes are kept free for pods that use GPUs"
    kind = f" of type {load.gpu_type}" if load.gpu_type else ""
    where = f"worker node {load.pinned_to} has fewer" if load.pinned_to else "no worker node has so many"
    return f"GPUs asked for: {load.gpus}{kind}; {where} free"


def _why(load: Load, places: Sequence[str], free: dict[str, list[Decimal]]) -> str:
    asked = f"asks for {load.cpu} cpu and {load.memory} memory{f' and {load.gpus} GPUs' if load.gpus else ''}"
    if not places:
        return f"it listens on port {load.host_port} of its machine, which pods of another network have on every worker node"
    if load.pinned_to and load.pinned_to not in free:
        return f"{asked} on worker node {load.pinned_to}, which is not there or not schedulable"
    cpu, memory, gpus = (max(free[name][what] for name in places) for what in (0, 1, 2))
    where = f"worker node {load.pinned_to} has" if load.pinned_to else "no worker node has more than"
    left = f"{quantities.format_cpu(cpu)} cpu and {quantities.format_bytes(int(memory))} memory"
    return f"{asked}; {where} {left}{f' and {gpus} GPUs' if load.gpus else ''} left"


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
    if settings.metrics.enabled:
        loads.append(Load("prometheus", watch.prometheus_cpu, watch.prometheus_memory))
    if watch.profiler:
        loads.append(Load("pyroscope", watch.profiler_cpu, watch.profiler_memory))
    if watch.slack_alerts:
        loads.append(Load("spacemesh-watch", "100m", "256Mi"))
    return tuple(loads)
