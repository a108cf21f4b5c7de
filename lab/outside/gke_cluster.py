"""One GKE cluster: what was asked for, the Kubernetes cluster that stands for it, and its disks."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.addresses import AddressBlock
from lab.clock import Clock, timestamp
from lab.cluster import Cluster
from lab.faults import Faults
from lab.kubelet.nodes import VERSION, NodeSpec
from lab.kubernetes.auth import User
from lab.kubernetes.kinds import NODE, POD, PV, PVC
from lab.kubernetes.quantity import parse
from lab.kubernetes.store import Event
from lab.outside.disks import Disk, Disks, fingerprint
from lab.outside.google import Accounts
from lab.outside.machines import MachineType, machine_type

Obj = dict[str, Any]

log = logging.getLogger("lab.gke")

GKE_VERSION = f"{VERSION.removeprefix('v')}-gke.1000000"
STORAGE_CLASSES = {"standard-rwo": "pd-balanced", "standard": "pd-standard", "premium-rwo": "pd-ssd"}  # the first one is the default
_API = "https://container.googleapis.com/v1"


@dataclass
class Pool:
    """A node pool: nodes of one kind, so many in each zone."""

    name: str
    config: Obj
    machine: MachineType
    per_zone: int
    zones: list[str]
    autoscaling: Obj = field(default_factory=dict)
    management: Obj = field(default_factory=dict)
    status: str = "PROVISIONING"
    message: str = ""
    nodes: dict[str, str] = field(default_factory=dict)  # name -> zone

    @property
    def disk_gb(self) -> int:
        """Of each node's boot disk."""
        return int(self.config.get("diskSizeGb") or 100)

    @property
    def disk_type(self) -> str:
        """Of each node's boot disk."""
        return str(self.config.get("diskType") or "pd-balanced")

    def shown(self, cluster: GkeCluster) -> Obj:
        """As the API shows it."""
        config = {
            "machineType": self.machine.name, "diskSizeGb": self.disk_gb, "diskType": self.disk_type, "imageType": "COS_CONTAINERD",
            "oauthScopes": ["https://www.googleapis.com/auth/cloud-platform"], "serviceAccount": "default", **self.config,
        }  # fmt: skip
        shown: Obj = {
            "name": self.name, "config": config, "initialNodeCount": self.per_zone, "locations": self.zones, "status": self.status,
            "version": GKE_VERSION, "selfLink": f"{_API}/{cluster.path}/nodePools/{self.name}", "autoscaling": self.autoscaling,
            "management": self.management or {"autoRepair": True, "autoUpgrade": True}, "maxPodsConstraint": {"maxPodsPerNode": "110"},
        }  # fmt: skip
        return shown | ({"statusMessage": self.message} if self.message else {})


class GkeCluster:
    """A cluster as GKE knows it. `start` and `stop` the one that people reach."""

    def __init__(self, project: str, location: str, name: str, wish: Obj, zones: list[str], clock: Clock, faults: Faults, disks: Disks) -> None:
        self.project, self.location, self.name, self.wish, self.zones = project, location, name, wish, zones
        self.labels: dict[str, str] = dict(wish.get("resourceLabels") or {})
        self.pools: dict[str, Pool] = {}
        self.status, self.message = "PROVISIONING", ""
        self.created = clock.now()
        self.cluster = Cluster(clock, faults)
        self._disks = disks
        self._numbers: dict[str, int] = {}  # node -> its place among the cluster's addresses

    @property
    def path(self) -> str:
        """`projects/p/locations/l/clusters/c`."""
        return f"projects/{self.project}/locations/{self.location}/clusters/{self.name}"

    @property
    def region(self) -> str:
        """Where its quotas are."""
        return "-".join(self.location.split("-")[:2])

    # The cluster that people reach

    async def start(self, state: Path, accounts: Accounts) -> None:
        """Bring up its API and its nodes; whoever has a good Google token may do all in it."""
        for token in accounts.tokens:
            self._admit(token)
        accounts.on_token.append(self._admit)
        self.cluster.life.at_end(lambda: accounts.on_token.remove(self._admit))
        self.cluster.registry.store.listen(PV, self._on_volume)
        pools = self.pools.values()
        specs: list[tuple[Pool, str, str]] = [(pool, name, zone) for pool in pools for name, zone in self._new_nodes(pool, pool.per_zone)]
        await self.cluster.start(state, lambda block: [self._spec(block, *one) for one in specs], tuple(STORAGE_CLASSES))
        for task in self.cluster.life.tasks:
            task.add_done_callback(self._tell)

    async def stop(self) -> None:
        """End it. Disks of its nodes go with them; those of its volumes stay."""
        await self.cluster.stop()
        for pool in self.pools.values():
            self._forget(pool, list(pool.nodes))

    def _admit(self, token: str) -> None:
        self.cluster.authenticator.add(token, User("cosmodrome", ("system:masters", "system:authenticated")))

    def _tell(self, task: asyncio.Task[None]) -> None:
        """A part of the cluster has ended; that it failed should not go unseen."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s of %s ended", task.get_name(), self.path, exc_info=error)

    async def resize(self, pool: Pool, per_zone: int) -> None:
        """So many nodes in each zone of the pool."""
        kubelet, block = self.cluster.kubelet, self.cluster.block
        assert kubelet
        assert block
        pool.per_zone = per_zone
        for name, zone in self._new_nodes(pool, per_zone):
            kubelet.add(self._spec(block, pool, name, zone))
        for zone in pool.zones:
            unwanted = [name for name, where in pool.nodes.items() if where == zone][per_zone:]
            for name in unwanted:
                await kubelet.remove(name)
            self._forget(pool, unwanted)

    def _new_nodes(self, pool: Pool, per_zone: int) -> list[tuple[str, str]]:
        """Names, zones and boot disks for the nodes that a pool lacks."""
        made = []
        for zone in pool.zones:
            for _ in range(per_zone - sum(where == zone for where in pool.nodes.values())):
                number = next(n for n in range(1, 4000) if n not in self._numbers.values())
                name = self._node_name(pool, number)
                self._numbers[name], pool.nodes[name] = number, zone
                labels = {**self._disk_labels(), "goog-gke-node": "", "goog-k8s-node-pool-name": pool.name}
                self._disks.add(Disk(self.project, zone, name, pool.disk_gb, pool.disk_type, labels, users=lambda name=name: [name]))  # type: ignore[misc]
                made.append((name, zone))
        return made

    def _forget(self, pool: Pool, names: list[str]) -> None:
        for name in names:
            self._disks.remove((self.project, pool.nodes.pop(name), name))
            del self._numbers[name]

    def _node_name(self, pool: Pool, number: int) -> str:
        """`gke-net-default-1a2b3c4d-x7k2`."""
        group = hashlib.blake2b(f"{self.path}/{pool.name}".encode(), digest_size=4).hexdigest()
        return f"gke-{self.name[:20].rstrip('-')}-{pool.name[:15].rstrip('-')}-{group}-{_letters(group, number)}"

    def example(self, block: AddressBlock, pool: Pool) -> NodeSpec:
        """What the next node of a pool would be like."""
        return self._spec(block, pool, f"{pool.name}-example", pool.zones[0])

    def _spec(self, block: AddressBlock, pool: Pool, name: str, zone: str) -> NodeSpec:
        address = block.node(self._numbers.get(name, 1))
        private = (self.wish.get("privateClusterConfig") or {}).get("enablePrivateNodes")
        labels = {
            "cloud.google.com/gke-nodepool": pool.name, "cloud.google.com/gke-os-distribution": "cos", "cloud.google.com/machine-family":
            pool.machine.family, "node.kubernetes.io/instance-type": pool.machine.name, "topology.gke.io/zone": zone,
            **(pool.config.get("labels") or {}),
        }  # fmt: skip
        effects = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute",
                   1: "NoSchedule", 2: "PreferNoSchedule", 3: "NoExecute"}  # fmt: skip
        taints = tuple(
            {"key": taint.get("key", ""), "value": taint.get("value", ""), "effect": effects.get(taint.get("effect", 1), "NoSchedule")}
            for taint in pool.config.get("taints") or ()
        )
        return NodeSpec(
            name, address, "" if private else address, str(pool.machine.cpus), f"{pool.machine.memory_mb}Mi", f"{pool.disk_gb}Gi",
            zone=zone, labels=labels, taints=taints,
        )  # fmt: skip

    # Disks of volumes

    def _disk_labels(self) -> dict[str, str]:
        return {**self.labels, "goog-k8s-cluster-location": self.location, "goog-k8s-cluster-name": self.name}

    def _on_volume(self, event: Event) -> None:
        """A volume that was made has a disk; a volume that is deleted takes it along, unless it is to be retained."""
        volume = event.object
        spec, name = volume["spec"], volume["metadata"]["name"]
        if spec.get("storageClassName") not in STORAGE_CLASSES or "csi" not in spec:
            return
        if event.type == "ADDED":
            size = math.ceil(parse(spec["capacity"]["storage"]) / 2**30)
            labels = {**self._disk_labels(), "goog-gke-volume": ""}
            about = {"kubernetes.io/created-for/pv/name": name, "storage.gke.io/created-by": "pd.csi.storage.gke.io"}
            claim = spec.get("claimRef") or {}
            about |= {f"kubernetes.io/created-for/pvc/{key}": claim[key] for key in ("name", "namespace") if key in claim}
            disk = Disk(self.project, self._zone_of(claim), name, size, STORAGE_CLASSES[spec["storageClassName"]], labels, json.dumps(about))
            disk.users = lambda: self._nodes_with(claim)
            self._disks.add(disk)
        elif event.type == "DELETED" and spec.get("persistentVolumeReclaimPolicy") == "Delete":
            for zone in self.zones:
                self._disks.remove((self.project, zone, name))

    def _zone_of(self, claim: Obj) -> str:
        """Where the claim's first pod is."""
        registry = self.cluster.registry
        found = registry.find(PVC, claim.get("namespace", ""), claim.get("name", ""))
        chosen = ((found or {}).get("metadata", {}).get("annotations") or {}).get("volume.kubernetes.io/selected-node", "")
        node = registry.find(NODE, "", chosen)
        zone = (node or {}).get("metadata", {}).get("labels", {}).get("topology.kubernetes.io/zone", "")
        return zone if zone in self.zones else self.zones[0]

    def _nodes_with(self, claim: Obj) -> list[str]:
        """The nodes that a disk is attached to: those of pods that use its claim, while there is a cluster."""
        nodes = set()
        for pod in self.cluster.registry.list(POD, claim.get("namespace")) if self.pools and self._numbers else ():
            volumes = pod["spec"].get("volumes") or ()
            uses = any((one.get("persistentVolumeClaim") or {}).get("claimName") == claim.get("name") for one in volumes)
            if uses and pod["spec"].get("nodeName") in self._numbers and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
                nodes.add(pod["spec"]["nodeName"])
        return sorted(nodes)

    # As the API shows it

    def shown(self) -> Obj:
        """A `Cluster`."""
        pools = list(self.pools.values())
        shown: Obj = {
            "id": hashlib.sha256(f"{self.path}{self.created}".encode()).hexdigest(), "name": self.name, "location": self.location,
            "zone": self.location, "locations": self.zones, "selfLink": f"{_API}/{self.path}", "status": self.status,
            "createTime": timestamp(self.created),
            "initialClusterVersion": GKE_VERSION, "currentMasterVersion": GKE_VERSION, "currentNodeVersion": GKE_VERSION,
            "currentNodeCount": sum(len(pool.nodes) for pool in pools), "nodePools": [pool.shown(self) for pool in pools],
            "resourceLabels": self.labels, "labelFingerprint": fingerprint(self.labels), "network": self.wish.get("network") or "default",
            "subnetwork": self.wish.get("subnetwork") or "default", "loggingService": "logging.googleapis.com/kubernetes",
            "monitoringService": "monitoring.googleapis.com/kubernetes", "databaseEncryption": {"state": "DECRYPTED"},
            "releaseChannel": self.wish.get("releaseChannel") or {"channel": "REGULAR"}, "etag": fingerprint({"status": self.status, **self.labels}),
        }  # fmt: skip
        if pools:
            shown["nodeConfig"] = shown["nodePools"][0]["config"]
        if self.message:
            shown |= {"statusMessage": self.message, "conditions": [{"code": "UNKNOWN", "message": self.message}]}
        for name in ("description", "privateClusterConfig", "networkPolicy", "ipAllocationPolicy", "addonsConfig"):
            if name in self.wish:
                shown[name] = self.wish[name]
        if self.cluster.certificates and self.cluster.block:
            # A real endpoint is a bare address with port 443, which only root may listen on.
            shown["endpoint"] = self.cluster.tls_url.removeprefix("https://")
            shown["masterAuth"] = {"clusterCaCertificate": self.cluster.certificates.authority_data}
            shown["clusterIpv4Cidr"] = self.cluster.block.pod_network
            shown["servicesIpv4Cidr"] = str(self.cluster.block.service_network)
        return shown


def read_pool(given: Obj, zones: list[str]) -> Pool | str:
    """A pool from a wish; a sentence when it cannot be."""
    config = dict(given.get("config") or {})
    kind = str(config.get("machineType") or "e2-medium")
    machine = machine_type(kind)
    if machine is None:
        return f'Machine type with name "{kind}" does not exist in zone "{zones[0]}".'
    count = given.get("initialNodeCount", 0)
    if not isinstance(count, int) or count < 0:
        return "NodePool.initial_node_count must be a number from 0 on."
    chosen = list(given.get("locations") or zones)
    return Pool(str(given.get("name", "")), config, machine, count, chosen, dict(given.get("autoscaling") or {}), dict(given.get("management") or {}))


def _letters(seed: str, number: int) -> str:
    """Four characters for the n-th node of a group, the same each time."""
    value = int.from_bytes(hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=5).digest(), "big")
    return "".join("0123456789bcdfghjklmnpqrstvwxz"[value // 30**place % 30] for place in range(4))
