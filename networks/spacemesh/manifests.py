"""What the objects of a network have in common.

Every function gives a plain dict, ready for server-side apply; the same input gives the same object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from networks import labels
from networks.labels import Ownership
from networks.spacemesh.settings import MinerSettings, Settings

Manifest = dict[str, Any]

PART_OF = "spacemesh"
NO_RESTART = {"restart": "false"}  # what the PodDisruptionBudget looks for
GPU = "nvidia.com/gpu"  # the resource, and the key of the taint on machines that have it
GPU_LABEL = "cloud.google.com/gke-accelerator"  # which type a machine has
TERMINATION_SECONDS = 60  # databases are closed on SIGTERM


@dataclass(frozen=True)
class Part:
    """One workload of the network: its names and labels, the same on all of its objects."""

    owner: Ownership
    settings: Settings
    name: str  # miner-3
    component: str  # miner
    software: str  # go-spacemesh
    role: str = ""  # bootstrap, bootnode, ordinary

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every object of this workload."""
        common = self.owner.labels(name=self.software, instance=self.name, component=self.component, part_of=PART_OF)
        return {**common, **({labels.ROLE: self.role} if self.role else {}), "app": self.component, "name": self.name}

    @property
    def selector(self) -> dict[str, str]:
        """What finds its pods: few labels, because a deployment's selector can never be changed."""
        return {"app": self.component, "name": self.name}

    def metadata(self, name: str | None = None) -> dict[str, Any]:
        """Metadata of one of its objects."""
        return {"name": name or self.name, "namespace": self.settings.namespace, "labels": self.labels}


def network_labels(owner: Ownership, component: str) -> dict[str, str]:
    """Labels of what belongs to the network as a whole."""
    return owner.labels(name=PART_OF, instance=owner.network, component=component, part_of=PART_OF)


def namespace(owner: Ownership, settings: Settings) -> Manifest:
    """The network's own namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": settings.namespace, "labels": network_labels(owner, "namespace")}}


def disruption_budget(owner: Ownership, settings: Settings) -> Manifest:
    """No rescheduling: a drained node or a shrinking cluster may not take a miner or PoET away."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "no-rescheduling", "namespace": settings.namespace, "labels": network_labels(owner, "disruption-budget")},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": dict(NO_RESTART)}},
    }


def record_map(owner: Ownership, settings: Settings, name: str, data: Mapping[str, str]) -> Manifest:
    """The ConfigMap of the network's record."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": settings.namespace, "labels": network_labels(owner, "record")},
        "data": dict(data),
    }


def config_map(part: Part, data: Mapping[str, str]) -> Manifest:
    """A workload's configuration files."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": part.metadata(), "data": dict(data)}


def volume_claim(part: Part, size: str) -> Manifest:
    """A workload's disk."""
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    if part.settings.volumes.storage_class:
        spec["storageClassName"] = part.settings.volumes.storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": part.metadata(), "spec": spec}


def data_volume(part: Part) -> dict[str, Any]:
    """The pod's volume for data: the workload's disk, or a directory that goes with the pod."""
    if part.settings.volumes.kind == "ephemeral":
        return {"name": "data", "emptyDir": {}}
    return {"name": "data", "persistentVolumeClaim": {"claimName": part.name}}


def config_volume(part: Part) -> dict[str, Any]:
    """The pod's volume for configuration files."""
    return {"name": "config", "configMap": {"name": part.name}}


def resources(cpu: str, memory: str, *, gpus: int = 0) -> dict[str, Any]:
    """Memory is bounded, so that a leak ends one pod and not its neighbours; cpu is not, so that a busy node is slow and not throttled.

    GPUs are a limit, and with it a request: Kubernetes never shares them out.
    """
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory, **({GPU: str(gpus)} if gpus else {})}}


def accelerator_selector(miners: MinerSettings) -> dict[str, str]:
    """Part of a node selector: only machines with this type of GPU."""
    return {GPU_LABEL: miners.gpu_type} if miners.gpus and miners.gpu_type else {}


def accelerator_tolerations() -> list[dict[str, Any]]:
    """Machines with GPUs are usually kept free of everybody who needs none. (GKE adds this by itself, other clusters do not.)"""
    return [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]


def open_port(port: int, *, every: int, failures: int) -> dict[str, Any]:
    """A probe that succeeds when something listens. (Neither the node nor the PoET serves gRPC's health protocol.)"""
    return {"tcpSocket": {"port": port}, "periodSeconds": every, "failureThreshold": failures, "timeoutSeconds": 5}


def deployment(part: Part, pod_spec: dict[str, Any], *, annotations: Mapping[str, str]) -> Manifest:
    """One pod that is never there twice. There is no liveness probe: a hanging node is worth looking at, and a restart would hide it."""
    template_labels = {**part.labels, **NO_RESTART}
    pod = {
        "automountServiceAccountToken": False,
        # Without this every pod gets several variables for every service of the namespace: thousands of them in a large network.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_SECONDS,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        **pod_spec,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**part.metadata(), "labels": {**part.labels, **NO_RESTART}},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": part.selector},
            "template": {
                "metadata": {"labels": template_labels, "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", **annotations}},
                "spec": pod,
            },
        },
    }


def node_port_service(part: Part, ports: Mapping[str, int]) -> Manifest:
    """A service on a port of every worker node; Kubernetes chooses the port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": part.metadata(),
        "spec": {
            "type": "NodePort",
            "selector": part.selector,
            "ports": [{"name": name, "port": port, "targetPort": port, "protocol": "TCP"} for name, port in ports.items()],
        },
    }


def cluster_ip_service(part: Part, name: str, ports: Mapping[str, int]) -> Manifest:
    """A service for the inside of the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": part.metadata(name),
        "spec": {
            "type": "ClusterIP",
            "selector": part.selector,
            "ports": [{"name": name, "port": port, "targetPort": port, "protocol": "TCP"} for name, port in ports.items()],
        },
    }
