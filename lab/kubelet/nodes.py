"""Node objects: what the lab's machines say of themselves, and their heartbeats."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.clock import micro_timestamp, timestamp
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import LEASE, NAMESPACE, NODE
from lab.kubernetes.quantity import canonical, parse
from lab.kubernetes.registry import Context, Registry

Obj = dict[str, Any]

VERSION = "v1.36.2"
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
HEARTBEAT = 300.0  # lab seconds between status writes of a node on which nothing changes
RENEWAL = 10.0  # lab seconds between renewals of its lease
_KUBE_RESERVED_MEMORY = 1 << 30  # what stays for the system: allocatable is below capacity
_KUBE_RESERVED_CPU_MILLIS = 80


_FEATURES = (
    "ExtendWebSocketsToKubelet", "InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
)  # fmt: skip


@dataclass(frozen=True)
class NodeSpec:
    """One machine of the lab."""

    name: str
    internal_ip: str
    external_ip: str  # "": it has none
    cpu: str = "16"
    memory: str = "64Gi"
    disk: str = "100Gi"
    pods: int = 110
    zone: str = "us-central1-a"  # "": a cluster that knows no zones
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[Obj, ...] = ()


def make_node(spec: NodeSpec, number: int, now: datetime) -> Obj:
    """The Node object of a machine; `number` makes its pod range."""
    zones = ("topology.kubernetes.io", "failure-domain.beta.kubernetes.io") if spec.zone else ()
    where = {f"{prefix}/{key}": value for prefix in zones for key, value in (("region", spec.zone.rpartition("-")[0]), ("zone", spec.zone))}
    labels = {
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux", **where, **spec.labels,
    }  # fmt: skip
    cidr = f"10.{128 + number // 256}.{number % 256}.0/24"
    node_spec: Obj = {"podCIDR": cidr, "podCIDRs": [cidr]}
    if spec.taints:
        node_spec["taints"] = list(spec.taints)
    annotations = {"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    metadata = {"name": spec.name, "labels": labels, "annotations": annotations}
    return {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": node_spec, "status": node_status(spec, now)}


def node_status(spec: NodeSpec, now: datetime, old: Obj | None = None) -> Obj:
    """Capacity, addresses and conditions of a machine that is well."""
    capacity = {
        "cpu": canonical(spec.cpu), "ephemeral-storage": canonical(spec.disk), "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        "memory": canonical(spec.memory), "pods": str(spec.pods),
    }  # fmt: skip
    cpu = int(parse(spec.cpu) * 1000) - _KUBE_RESERVED_CPU_MILLIS
    memory = int(parse(spec.memory))
    allocatable = {
        **capacity, "cpu": canonical(f"{max(cpu, 10)}m"), "ephemeral-storage": str(int(parse(spec.disk)) * 9 // 10),
        "memory": canonical(f"{max(memory - min(_KUBE_RESERVED_MEMORY, memory // 4), 0) // 1024}Ki"),
    }  # fmt: skip
    return {
        "capacity": capacity,
        "allocatable": allocatable,
        "conditions": _conditions(now, old),
        "addresses": [
            {"type": "InternalIP", "address": spec.internal_ip}, *([{"type": "ExternalIP", "address": spec.external_ip}] if spec.external_ip else []),
            {"type": "Hostname", "address": spec.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": "0" * 32, "systemUUID": "0" * 32, "bootID": "00000000-0000-0000-0000-000000000000", "kernelVersion": "6.18.0",
            "osImage": "Debian GNU/Linux 12 (bookworm)", "containerRuntimeVersion": "containerd://2.1.9+unknown", "kubeletVersion": VERSION,
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
        },
        "runtimeHandlers": [{"name": name, "features": {"recursiveReadOnlyMounts": True, "userNamespaces": False}} for name in ("", "runc")],
        "features": {"supplementalGroupsPolicy": True},
        "declaredFeatures": list(_FEATURES),
    }  # fmt: skip


def _conditions(now: datetime, old: Obj | None) -> list[Obj]:
    before = {condition["type"]: condition for condition in (old or {}).get("conditions") or ()}
    made = []
    for kind, status, reason, message in (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ):
        known = before.get(kind)
        since = known["lastTransitionTime"] if known and known["status"] == status else timestamp(now)
        made.append({
            "type": kind, "status": status, "lastHeartbeatTime": timestamp(now), "lastTransitionTime": since, "reason": reason, "message": message,
        })  # fmt: skip
    return made


class NodeReporter:
    """Registers machines and keeps their Node objects and leases fresh."""

    def __init__(self, registry: Registry, specs: list[NodeSpec]) -> None:
        self._registry = registry
        self.specs = {spec.name: spec for spec in specs}

    def register(self, name: str) -> None:
        """Make the Node object if it is not there."""
        if self._registry.find(NODE, "", name) is None:
            number = list(self.specs).index(name)
            self._registry.create(NODE, make_node(self.specs[name], number, self._registry.clock.now()), ctx=_context(name))

    def report(self, name: str) -> None:
        """Write the status as it is: at every heartbeat, and when a lost machine is back."""
        if self._registry.find(NODE, "", name) is None:
            return

        def fresh(node: Obj) -> None:
            made = node_status(self.specs[name], self._registry.clock.now(), node.get("status"))
            ours = {condition["type"] for condition in made["conditions"]}
            for amounts in (made["capacity"], made["allocatable"]):  # what a device plugin, or somebody by hand, has told of the machine stays
                amounts.update({name: amount for name, amount in node["status"].get("capacity", {}).items() if "/" in name})
            made["conditions"] = [one for one in node["status"].get("conditions") or () if one["type"] not in ours] + made["conditions"]
            node["status"] = {**node["status"], **made}

        self._registry.modify(NODE, "", name, fresh, "status", _context(name))

    def renew(self, name: str) -> None:
        """Renew the machine's lease."""
        now = micro_timestamp(self._registry.clock.now())
        node = self._registry.find(NODE, "", name)
        if node is None or self._registry.find(NAMESPACE, "", LEASE_NAMESPACE) is None:
            return
        try:
            if self._registry.find(LEASE, LEASE_NAMESPACE, name) is None:
                owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
                spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
                lease = {"metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]}, "spec": spec}
                self._registry.create(LEASE, lease, LEASE_NAMESPACE, _context(name))
            else:
                self._registry.modify(LEASE, LEASE_NAMESPACE, name, lambda lease: lease["spec"].update(renewTime=now), ctx=_context(name))
        except ApiError:  # the namespace is going
            return


def _context(name: str) -> Context:
    return Context(f"system:node:{name}", ("system:nodes", "system:authenticated"), manager="kubelet")
