"""The scheduler: gives each new pod a node, or says why it cannot, and tries again when something changed that may help."""

from __future__ import annotations

from typing import Any

from lab.clock import Clock
from lab.controllers.controller import Controller, Key, WorkQueue, key_of
from lab.controllers.events import SeriesRecorder
from lab.controllers.node_match import matches_term, untolerated
from lab.controllers.objects import condition, controller_uid, is_deleting, is_finished, uid_of
from lab.controllers.scheduler_filters import Filters, No, Unschedulable, refusal_text
from lab.controllers.scheduler_nodes import Cluster, NodeRoom
from lab.controllers.volume_match import claims_of, is_bound
from lab.controllers.volumes import SELECTED_NODE
from lab.faults import Faults
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import NODE, POD, PV, PVC, STORAGE_CLASS
from lab.kubernetes.registry import SYSTEM, Context, Registry
from lab.kubernetes.selectors import labels_of
from lab.kubernetes.store import Event

Obj = dict[str, Any]

_NAME = "default-scheduler"
_SCHEDULER = Context("system:kube-scheduler", SYSTEM.groups, manager="kube-scheduler")
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


_SLOW = 10.0  # lab seconds


class _Queue(WorkQueue[Key]):
    """Pods to look at, one after the other: with the fault `slow` each takes its time."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        super().__init__(clock)
        self._faults = faults

    async def get(self) -> Key:
        """The next pod."""
        key = await super().get()
        if self._faults.all() and (fault := self._faults.take("scheduler", "/".join(key), "slow")):
            await self._clock.sleep(float(fault.options.get("seconds", _SLOW)))
        return key


class Scheduler(Controller):
    """Looks at one pod at a time."""

    watches = (NODE, PVC, PV, STORAGE_CLASS, POD)

    def __init__(self, registry: Registry, faults: Faults | None = None) -> None:
        super().__init__(registry, _Queue(registry.clock, faults or Faults()))
        self._cluster = Cluster(registry.store)
        self._recorder = SeriesRecorder(registry, _NAME, f"{_NAME}-host")
        self._refused: dict[Key, set[str]] = {}  # pods without a node, and the topics of what kept them from one
        self._placed: dict[Key, str] = {}  # pods whose node is chosen and whose volumes are not bound yet

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            await super().run()
        finally:
            self._cluster.close()

    # What is worth a look

    def on_event(self, event: Event) -> None:
        """New pods; for those that were refused, changes that may help."""
        if event.kind is POD:
            self._on_pod(event)
        elif event.kind is NODE:
            if event.old is None or _shown(event.old) != _shown(event.object):
                self._wake("node", "room", "neighbours", "volumes")
        else:
            self._wake("volumes")
            if event.kind is PVC:
                for key in self._placed:
                    self.queue.add(key)

    def _on_pod(self, event: Event) -> None:
        pod, key = event.object, key_of(event.object)
        if event.type == "DELETED":
            self._refused.pop(key, None)
            if self._placed.pop(key, None):
                self._cluster.forget(uid_of(pod))
        if pod["spec"].get("nodeName"):
            self._refused.pop(key, None)
            self._placed.pop(key, None)
            if event.type == "DELETED" or is_finished(pod):
                self._wake("room", "neighbours")
            elif event.old is None or event.old["metadata"].get("labels") != pod["metadata"].get("labels") or not event.old["spec"].get("nodeName"):
                self._wake("neighbours")
        elif event.type != "DELETED" and (event.old is None or _wish(event.old) != _wish(pod)):
            self.queue.add(key)

    def _wake(self, *topics: str) -> None:
        for key, kept_by in self._refused.items():
            if kept_by.intersection(topics):
                self.queue.add(key)

    # One pod

    def sync(self, key: Key) -> None:
        """Give the pod a node if it needs one."""
        pod = self.registry.find(POD, *key)
        if pod is None or not _is_waiting(pod):
            self._refused.pop(key, None)
            return
        if key in self._placed:
            self._bind_when_volumes_are(pod, self._placed[key])
            return
        nodes = self._cluster.nodes()
        try:
            filters = Filters(self.registry, self._cluster, pod)
        except Unschedulable as nowhere:
            self._refuse(pod, refusal_text(len(nodes), [], str(nowhere)), {"volumes", "node"})
            return
        refusals: list[No] = []
        fitting: list[NodeRoom] = []
        for node in nodes:
            refusal = filters.check(node)
            if refusal is None:
                fitting.append(node)
            else:
                refusals.append(refusal)
        if not fitting:
            self._refuse(pod, refusal_text(len(nodes), refusals), {"node"} | {refusal.topic for refusal in refusals})
            return
        best = max(fitting, key=lambda node: self._score(filters, node)) if len(fitting) > 1 else fitting[0]
        self._take(pod, filters, best)

    def _score(self, filters: Filters, room: NodeRoom) -> tuple[float, ...]:
        """What speaks for a node: what the pod prefers, few of its siblings, much room."""
        assert room.node is not None
        pod, node = filters.pod, room.node
        affinity = pod["spec"].get("affinity") or {}
        preferred = sum(
            wish["weight"] for wish in (affinity.get("nodeAffinity") or {}).get(_PREFERRED) or () if matches_term(wish["preference"], node)
        )
        preferred += filters.neighbours.preference(node)
        if untolerated(pod, (node.get("spec") or {}).get("taints") or (), ("PreferNoSchedule",)):
            preferred -= 100
        owners = set(controller_uid(pod))
        siblings = sum(bool(owners.intersection(controller_uid(other.pod))) for other in room.pods.values()) if owners else 0
        cpu, memory = filters.room.weight()
        free_cpu = 1 - (room.cpu_weight + cpu) / max(1, room.allocatable.get("cpu", 0))
        free_memory = 1 - (room.memory_weight + memory) / max(1, room.allocatable.get("memory", 0))
        return preferred, -siblings, round((free_cpu + free_memory) / 2, 6), -len(room.pods)

    def _take(self, pod: Obj, filters: Filters, room: NodeRoom) -> None:
        assert room.node is not None
        key = key_of(pod)
        to_bind = filters.volumes_on(room.node)
        if not to_bind:
            self._bind(pod, room.name)
            return
        self._cluster.place(pod, room.name)
        self._placed[key] = room.name
        self._refused.pop(key, None)
        for claim, volume in to_bind:
            self._order_volume(claim, volume, room.name)

    def _order_volume(self, claim: Obj, volume: Obj | None, node: str) -> None:
        """Promise a volume to a claim, or have one made for this node; the volume controller does the rest."""
        meta = claim["metadata"]
        if volume is None:
            self.registry.modify(
                PVC, meta["namespace"], meta["name"],
                lambda some: some["metadata"].setdefault("annotations", {}).update({SELECTED_NODE: node}), ctx=_SCHEDULER,
            )  # fmt: skip
            return
        reference = {
            "kind": "PersistentVolumeClaim", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"], "apiVersion": "v1",
            "resourceVersion": meta["resourceVersion"],
        }  # fmt: skip

        def promise(some: Obj) -> None:
            if not some["spec"].get("claimRef"):
                some["metadata"].setdefault("annotations", {})["pv.kubernetes.io/bound-by-controller"] = "yes"
            some["spec"]["claimRef"] = reference

        self.registry.modify(PV, "", volume["metadata"]["name"], promise, ctx=_SCHEDULER)

    def _bind_when_volumes_are(self, pod: Obj, node: str) -> None:
        claims = [self.registry.find(PVC, pod["metadata"]["namespace"], name) for name in claims_of(pod)]
        if any(claim is None for claim in claims):
            self._cluster.forget(uid_of(pod))
            del self._placed[key_of(pod)]
            self.queue.add(key_of(pod))
        elif all(claim is not None and is_bound(claim) and claim["status"].get("phase") == "Bound" for claim in claims):
            del self._placed[key_of(pod)]
            self._bind(pod, node)

    def _bind(self, pod: Obj, node: str) -> None:
        namespace, name = key_of(pod)

        def change(some: Obj) -> None:
            some["spec"]["nodeName"] = node
            _set_scheduled(some, {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": self.registry.now()})

        try:
            self.registry.modify(POD, namespace, name, change, "binding", _SCHEDULER)
        except ApiError:
            self._cluster.forget(uid_of(pod))
            raise
        self._refused.pop((namespace, name), None)
        self._recorder.event(pod, "Normal", "Scheduled", "Binding", f"Successfully assigned {namespace}/{name} to {node}")

    def _refuse(self, pod: Obj, message: str, topics: set[str]) -> None:
        self._refused[key_of(pod)] = topics
        self._recorder.event(pod, "Warning", "FailedScheduling", "Scheduling", message)
        old = condition(pod, "PodScheduled")
        if old and (old["status"], old.get("reason"), old.get("message")) == ("False", "Unschedulable", message):
            return
        now = old["lastTransitionTime"] if old and old["status"] == "False" else self.registry.now()
        new = {
            "type": "PodScheduled", "observedGeneration": pod["metadata"].get("generation", 1), "status": "False", "lastProbeTime": None,
            "lastTransitionTime": now, "reason": "Unschedulable", "message": message,
        }  # fmt: skip
        self.registry.modify(POD, *key_of(pod), lambda some: _set_scheduled(some, new), "status", _SCHEDULER)


def _set_scheduled(pod: Obj, new: Obj) -> None:
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    for position, one in enumerate(conditions):
        if one["type"] == "PodScheduled":
            conditions[position] = new
            return
    conditions.append(new)


def _is_waiting(pod: Obj) -> bool:
    spec = pod["spec"]
    ours = spec.get("schedulerName", _NAME) == _NAME
    return ours and not spec.get("nodeName") and not spec.get("schedulingGates") and not is_deleting(pod) and not is_finished(pod)


def _wish(pod: Obj) -> tuple[Any, ...]:
    """What of a pod decides whether and where it can run."""
    return pod["spec"], labels_of(pod)


def _shown(node: Obj) -> tuple[Any, ...]:
    """What of a node decides who can run there."""
    spec = node.get("spec") or {}
    return labels_of(node), spec.get("taints"), spec.get("unschedulable"), node.get("status", {}).get("allocatable")
