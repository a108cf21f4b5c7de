"""Worker nodes, and what is free on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from networks import labels, quantities
from networks.errors import Permanent
from networks.spacemesh.nodes import WorkerNode
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.kinds import NODE, POD, Obj

_KEEPS_AWAY = {"NoSchedule", "NoExecute"}
_HOSTNAME = "kubernetes.io/hostname"


async def worker_nodes(k8s: Connection, network: str) -> tuple[tuple[WorkerNode, ...], bool]:
    """The cluster's worker nodes, each with what is free for the network there; and whether other pods could be looked at for that."""
    nodes, _ = await k8s.find(NODE)
    try:
        # Finished pods hold nothing; the selector keeps them from being sent.
        pods, _ = await k8s.find(POD, fields="status.phase!=Succeeded,status.phase!=Failed")
    except Permanent:
        return tuple(as_worker_node(node, ()) for node in nodes), False
    by_node: dict[str, list[Obj]] = defaultdict(list)
    for pod in pods:
        if labels.network_of(pod["metadata"].get("labels")) != network:
            by_node[pod["spec"].get("nodeName", "")].append(pod)
    return tuple(as_worker_node(node, by_node[node["metadata"]["name"]]) for node in nodes), True


def as_worker_node(node: Obj, pods: Sequence[Obj]) -> WorkerNode:
    """A node as the plan wants it; `pods`: others' pods on it. Outside a cloud most nodes have no ExternalIP."""
    meta, status = node["metadata"], node.get("status") or {}
    addresses = {a["type"]: a["address"] for a in reversed(status.get("addresses") or [])}
    allocatable = status.get("allocatable") or {}
    asked = [requests(pod["spec"]) for pod in pods]
    cpu = quantities.parse(allocatable.get("cpu", "0")) - sum((a[0] for a in asked), Decimal(0))
    memory = quantities.parse(allocatable.get("memory", "0")) - sum((a[1] for a in asked), Decimal(0))
    return WorkerNode(
        name=meta["name"],
        external_ip=addresses.get("ExternalIP", ""),
        internal_ip=addresses.get("InternalIP", ""),
        cpu=f"{max(0, int(cpu * 1000))}m",
        memory=str(max(0, int(memory))),
        unschedulable=not _takes_pods(node),
        hostname=(meta.get("labels") or {}).get(_HOSTNAME, ""),
        taken_ports=frozenset(port for pod in pods for port in host_ports(pod["spec"])),
    )


def _takes_pods(node: Obj) -> bool:
    spec = node.get("spec") or {}
    if spec.get("unschedulable") or any(taint.get("effect") in _KEEPS_AWAY for taint in spec.get("taints") or []):
        return False
    ready = [c for c in (node.get("status") or {}).get("conditions") or [] if c.get("type") == "Ready"]
    return all(c.get("status") == "True" for c in ready)


def host_ports(pod_spec: dict[str, Any]) -> Iterable[int]:
    """Ports of its machine that a pod has to itself."""
    for container in [*(pod_spec.get("initContainers") or []), *(pod_spec.get("containers") or [])]:
        for port in container.get("ports") or []:
            if port.get("hostPort"):
                yield int(port["hostPort"])


def requests(pod_spec: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """CPU and memory that the scheduler reserves for a pod: its containers' sum, or its largest init container, and the overhead."""

    def of(container: dict[str, Any], name: str) -> Decimal:
        return quantities.parse(str(((container.get("resources") or {}).get("requests") or {}).get(name, "0")))

    def total(name: str) -> Decimal:
        running = sum((of(c, name) for c in pod_spec.get("containers") or []), Decimal(0))
        starting = max((of(c, name) for c in pod_spec.get("initContainers") or []), default=Decimal(0))
        return max(running, starting) + quantities.parse(str((pod_spec.get("overhead") or {}).get(name, "0")))

    return total("cpu"), total("memory")
