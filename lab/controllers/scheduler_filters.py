"""Why a node does not do for a pod: the scheduler's filters, in the order of the real one; the first that says no is the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.controllers.node_match import untolerated, wants_node
from lab.controllers.scheduler_nodes import Cluster, NodeRoom, PodRoom, ports_clash
from lab.controllers.scheduler_spread import Neighbours
from lab.controllers.volume_match import best_volume, claims_of, is_bound, reaches
from lab.kubernetes.kinds import PV, PVC, STORAGE_CLASS
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True)
class No:
    """A refusal. `final` means that no other pod's leaving would help; `topic` tells which changes are worth another try."""

    reasons: tuple[str, ...]
    topic: str  # node, room, neighbours, volumes
    final: bool = True


class Unschedulable(Exception):
    """No node can do, whichever it is."""


class Filters:
    """The filters for one pod; what needs all nodes is computed once."""

    def __init__(self, registry: Registry, cluster: Cluster, pod: Obj) -> None:
        self._registry = registry
        self.pod = pod
        self.room = PodRoom.of(pod)
        self.neighbours = Neighbours(registry, cluster, pod)
        self._claims = self._look_at_claims()

    def check(self, node: NodeRoom) -> No | None:
        """Why not this node, or None."""
        assert node.node is not None
        spec = node.node.get("spec") or {}
        if spec.get("unschedulable") and untolerated(self.pod, [_UNSCHEDULABLE], ("NoSchedule",)):
            return No(("node(s) were unschedulable",), "node")
        if untolerated(self.pod, spec.get("taints") or (), ("NoSchedule", "NoExecute")):
            return No(("node(s) had untolerated taint(s)",), "node")
        if not wants_node(self.pod, node.node):
            return No(("node(s) didn't match Pod's node affinity/selector",), "node")
        if self.room.ports and ports_clash(self.room.ports, node.ports):
            return No(("node(s) didn't have free ports for the requested pod ports",), "room", final=False)
        return self._check_room(node) or self._check_volumes(node.node) or self._check_neighbours(node.node)

    def _check_room(self, node: NodeRoom) -> No | None:
        reasons, final = [], False
        if len(node.pods) + 1 > node.allocatable.get("pods", 110):
            reasons.append("Too many pods")
        for resource, number in self.room.requests.items():
            allocatable = node.allocatable.get(resource, 0)
            if number and number > allocatable - node.taken.get(resource, 0):
                reasons.append(f"Insufficient {resource}")
                final = final or number > allocatable
        return No(tuple(reasons), "room", final) if reasons else None

    def _check_neighbours(self, node: Obj) -> No | None:
        refusal = self.neighbours.refusal(node)
        return No((refusal[0],), "neighbours", refusal[1]) if refusal else None

    # Volumes

    def _look_at_claims(self) -> list[Obj]:
        """The pod's claims; Unschedulable when one of them keeps it from every node."""
        claims = []
        for name in claims_of(self.pod):
            claim = self._registry.find(PVC, self.pod["metadata"]["namespace"], name)
            if claim is None:
                raise Unschedulable(self._missing(name))
            if "deletionTimestamp" in claim["metadata"]:
                raise Unschedulable(f'persistentvolumeclaim "{name}" is being deleted')
            if claim["status"].get("phase") == "Lost":
                raise Unschedulable(f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim["spec"].get("volumeName")}"')
            claims.append(claim)
        if any(not is_bound(claim) and not self._waits_for_consumer(claim) for claim in claims):
            raise Unschedulable("pod has unbound immediate PersistentVolumeClaims")
        return claims

    def _missing(self, name: str) -> str:
        meta = self.pod["metadata"]
        made_for_it = any("ephemeral" in one and name == f"{meta['name']}-{one['name']}" for one in self.pod["spec"]["volumes"])
        if made_for_it:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        return f'persistentvolumeclaim "{name}" not found'

    def _class_of(self, claim: Obj) -> Obj | None:
        name = claim["spec"].get("storageClassName")
        return self._registry.find(STORAGE_CLASS, "", name) if name else None

    def _waits_for_consumer(self, claim: Obj) -> bool:
        storage_class = self._class_of(claim)
        return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"

    def _check_volumes(self, node: Obj) -> No | None:
        for claim in self._claims:
            if is_bound(claim):
                volume = self._registry.find(PV, "", claim["spec"]["volumeName"])
                if volume is not None and not reaches(volume, node):
                    return No(("node(s) didn't match PersistentVolume's node affinity",), "volumes")
        try:
            self.volumes_on(node)
        except LookupError:
            return No(("node(s) didn't find available persistent volumes to bind",), "volumes")
        return None

    def volumes_on(self, node: Obj) -> list[tuple[Obj, Obj | None]]:
        """Unbound claims with the volume that each would get on a node, None for one that is still to be made. LookupError when there is none."""
        found: list[tuple[Obj, Obj | None]] = []
        free: list[Obj] | None = None
        for claim in self._claims:
            if is_bound(claim):
                continue
            if free is None:
                free = self._registry.store.items(PV)
            volume = best_volume(free, claim, node)
            storage_class = self._class_of(claim)
            if volume is not None:
                free = [one for one in free if one is not volume]
            elif storage_class is None or storage_class["provisioner"] == "kubernetes.io/no-provisioner":
                raise LookupError(claim["metadata"]["name"])
            found.append((claim, volume))
        return found


def refusal_text(nodes: int, refusals: list[No], before: str | None = None) -> str:
    """The message of an unschedulable pod, word for word as the real scheduler's. `before`: a reason that holds for all nodes."""
    counts: dict[str, int] = {}
    for refusal in refusals:
        for reason in refusal.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    if nodes == 0:
        return "no nodes available to schedule pods"
    reasons = before or ", ".join(sorted(f"{number} {reason}" for reason, number in counts.items()))
    helpless = nodes if before else sum(refusal.final for refusal in refusals)
    attempts = {"Preemption is not helpful for scheduling": helpless, "No preemption victims found for incoming pod": nodes - helpless}
    preemption = ", ".join(sorted(f"{number} {text}" for text, number in attempts.items() if number))
    return f"0/{nodes} nodes are available: {reasons}. no new claims to deallocate, preemption: 0/{nodes} nodes are available: {preemption}."
