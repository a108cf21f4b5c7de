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
_GPU = "nvidia.com/gpu"  # the resource, and the key of the taint that keeps others away
_GPU_TYPE = "cloud.google.com/gke-accelerator"


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
    gpus = quantities.parse(allocatable.get(_GPU, "0")) - sum((requested(pod["spec"], _GPU) for pod in pods), Decimal(0))
    return WorkerNode(
        name=meta["name"],
        external_ip=addresses.get("ExternalIP", ""),
        internal_ip=addresses.get("InternalIP", ""),
        cpu=f"{max(0, int(cpu * 1000))}m",
        memory=str(max(0, int(memory))),
        unschedulable=not _takes_pods(node),
        hostname=(meta.get("labels") or {}).get(_HOSTNAME, ""),
        taken_ports=frozenset(port for pod in pods for port in host_ports(pod["spec"])),
        gpus=max(0, int(gpus)),
        gpu_type=(meta.get("labels") or {}).get(_GPU_TYPE, ""),
        gpus_only=any(taint.get("key") == _GPU and taint.get("effect") == "NoSchedule" for taint in (node.get("spec") or {}).get("taints") or []),
    )


def _takes_pods(node: Obj) -> bool:
    spec = node.get("spec") or {}
    if spec.get("unschedulable") or any(_keeps_away(taint) for taint in spec.get("taints") or []):
        return False
    ready = [c for c in (node.get("status") or {}).get("conditions") or [] if c.get("type") == "Ready"]
    return all(c.get("status") == "True" for c in ready)


def _keeps_away(taint: Obj) -> bool:
    """Whether none of ours runs there. Miners with GPUs tolerate the taint of machines with GPUs."""
    return taint.get("effect") in _KEEPS_AWAY and (taint.get("key"), taint.get("effect")) != (_GPU, "NoSchedule")


def host_ports(pod_spec: dict[str, Any]) -> Iterable[int]:
    """Ports of its machine that a pod has to itself."""
    for container in [*(pod_spec.get("initContainers") or []), *(pod_spec.get("containers") or [])]:
        for port in container.get("ports") or []:
            if port.get("hostPort"):
                yield int(port["hostPort"])


def requests(pod_spec: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """CPU and memory that the scheduler reserves for a pod."""
    return requested(pod_spec, "cpu"), requested(pod_spec, "memory")


def requested(pod_spec: dict[str, Any], name: str) -> Decimal:
    """What the scheduler reserves of one resource: the containers' sum, or the largest init container's, and the overhead."""

    def of(container: dict[str, Any]) -> Decimal:
        return quantities.parse(str(((container.get("resources") or {}).get("requests") or {}).get(name, "0")))

    running = sum((of(container) for container in pod_spec.get("containers") or []), Decimal(0))
    starting = max((of(container) for container in pod_spec.get("initContainers") or []), default=Decimal(0))
    return max(running, starting) + quantities.parse(str((pod_spec.get("overhead") or {}).get(name, "0")))
