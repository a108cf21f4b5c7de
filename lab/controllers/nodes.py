"""Nodes: taints that follow from their state, what happens when one stops answering, and pods that taints drive away."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.events import Recorder
from lab.controllers.node_match import tolerates
from lab.controllers.objects import condition, is_deleting, is_finished, is_ready, uid_of
from lab.faults import Faults
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import NODE, POD
from lab.kubernetes.registry import Registry
from lab.kubernetes.store import Event

Obj = dict[str, Any]

_MONITOR_PERIOD = 5.0  # lab seconds between two looks at who answers
_MONITOR_GRACE = 50.0  # lab seconds of silence until a node counts as lost
_PREFIX = "node.kubernetes.io/"
_TTL = "node.alpha.kubernetes.io/ttl"  # seconds for which kubelets keep secrets: 0 in clusters of up to a hundred nodes
_UNSCHEDULABLE, _NOT_READY, _UNREACHABLE = f"{_PREFIX}unschedulable", f"{_PREFIX}not-ready", f"{_PREFIX}unreachable"
_PRESSURES = {
    "MemoryPressure": f"{_PREFIX}memory-pressure", "DiskPressure": f"{_PREFIX}disk-pressure", "PIDPressure": f"{_PREFIX}pid-pressure",
}  # fmt: skip
_OURS = {_UNSCHEDULABLE, _NOT_READY, _UNREACHABLE, *_PRESSURES.values()}


class NodeLifecycleController(Controller):
    """Taints nodes by their state, and notices silent ones (faults of `node`: no heartbeats are played, the fault is looked up)."""

    watches = (NODE,)

    def __init__(self, registry: Registry, faults: Faults | None = None) -> None:
        super().__init__(registry)
        self._faults = faults or Faults()
        self._recorder = Recorder(registry, "node-controller")
        self._pods = self.index(POD, lambda pod: (pod["spec"].get("nodeName", ""),))
        self._silent_since: dict[str, float] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().run())
            tasks.create_task(self._monitor())

    async def _monitor(self) -> None:
        while True:
            await asyncio.sleep(max(0.05, self.clock.real(_MONITOR_PERIOD)))
            lost = [fault for fault in self._faults.all() if fault.place == "node"]
            if not lost and not self._silent_since:
                continue
            for node in self.store.items(NODE):
                name = node["metadata"]["name"]
                self._watch_over(node, any(re.search(fault.target, name) for fault in lost))

    def _watch_over(self, node: Obj, silent: bool) -> None:
        name, now = node["metadata"]["name"], self.clock.monotonic()
        if silent:
            since = self._silent_since.setdefault(name, now)
            if now - since >= _MONITOR_GRACE and (condition(node, "Ready") or {}).get("status") != "Unknown":
                self._mark_lost(node)
        else:  # its kubelet posts its status again by itself
            self._silent_since.pop(name, None)

    def _mark_lost(self, node: Obj) -> None:
        now = self.registry.now()

        def change(some: Obj) -> None:
            for one in some["status"].get("conditions") or ():
                one.update(status="Unknown", reason="NodeStatusUnknown", message="Kubelet stopped posting node status.", lastTransitionTime=now)

        name = node["metadata"]["name"]
        node = self.registry.modify(NODE, "", name, change, "status")
        self._recorder.event(_as_event_object(node), "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        for pod in self._pods.get(name):
            if is_ready(pod):
                self._mark_pod_not_ready(pod, now)

    def _mark_pod_not_ready(self, pod: Obj, now: str) -> None:
        def change(some: Obj) -> None:
            for one in some["status"].get("conditions") or ():
                if one["type"] == "Ready":
                    one.update(status="False", lastTransitionTime=now)

        self.registry.modify(POD, *key_of(pod), change, "status")
        self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    def sync(self, key: Key) -> None:
        """Give a node the taints that its state asks for."""
        node = self.registry.find(NODE, *key)
        if node is None:
            return
        present = (node.get("spec") or {}).get("taints") or []
        wanted = _wanted_taints(node)
        kept = [one for one in present if one["key"] not in _OURS or (one["key"], one["effect"]) in wanted]
        there = {(one["key"], one["effect"]) for one in kept}
        new = [{"key": taint, "effect": effect, "timeAdded": self.registry.now()} for taint, effect in wanted if (taint, effect) not in there]
        if new or len(kept) != len(present):
            self.registry.modify(NODE, *key, lambda some: _set_taints(some, kept + new))
        if _TTL not in (node["metadata"].get("annotations") or {}):
            self.registry.modify(NODE, *key, lambda some: some["metadata"].setdefault("annotations", {}).update({_TTL: "0"}))


def _wanted_taints(node: Obj) -> list[tuple[str, str]]:
    wanted = [(_UNSCHEDULABLE, "NoSchedule")] if (node.get("spec") or {}).get("unschedulable") else []
    ready = (condition(node, "Ready") or {}).get("status")
    for state, key in (("False", _NOT_READY), ("Unknown", _UNREACHABLE)):
        if ready == state:
            wanted += [(key, "NoSchedule"), (key, "NoExecute")]
    wanted += [(key, "NoSchedule") for kind, key in _PRESSURES.items() if (condition(node, kind) or {}).get("status") == "True"]
    return wanted


def _set_taints(node: Obj, taints: list[Obj]) -> None:
    spec = node.setdefault("spec", {})
    if taints:
        spec["taints"] = taints
    else:
        spec.pop("taints", None)


def _as_event_object(node: Obj) -> Obj:
    """Events about nodes carry the node's name as its uid."""
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": node["metadata"]["name"], "uid": node["metadata"]["name"]}}


class TaintEvictionController(Controller):
    """Deletes pods that do not tolerate a NoExecute taint of their node, at once or when their toleration runs out."""

    watches = (NODE, POD)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._recorder = Recorder(registry, "taint-eviction-controller")
        self._pods = self.index(POD, lambda pod: (pod["spec"].get("nodeName", ""),))
        self._due: dict[str, float] = {}  # pod uid -> lab second of its eviction

    def on_event(self, event: Event) -> None:
        """A pod on a tainted node, or changed taints."""
        if event.kind is POD:
            if event.type == "DELETED":
                self._due.pop(uid_of(event.object), None)
            elif event.object["spec"].get("nodeName") and (event.old is None or event.old["spec"] != event.object["spec"]):
                self.queue.add(key_of(event.object))
        elif _no_execute(event.object) != _no_execute(event.old):
            for pod in self._pods.get(event.object["metadata"]["name"]):
                self.queue.add(key_of(pod))

    def sync(self, key: Key) -> None:
        """Evict the pod, plan to, or drop the plan."""
        pod = self.registry.find(POD, *key)
        if pod is None or is_deleting(pod) or is_finished(pod):
            return
        wait = _patience(pod, _no_execute(self.registry.find(NODE, "", pod["spec"].get("nodeName", ""))))
        now, uid = self.clock.monotonic(), uid_of(pod)
        if wait is None:
            if self._due.pop(uid, None) is not None:
                self._tell(pod, f"Cancelling deletion of Pod {key[0]}/{key[1]}")
            return
        due = self._due.setdefault(uid, now + wait)
        if due <= now:
            self._evict(pod)
        else:
            self.queue.add_after(key, due - now + 0.01)

    def _evict(self, pod: Obj) -> None:
        namespace, name = key_of(pod)
        self._tell(pod, f"Marking for deletion Pod {namespace}/{name}")
        target = {
            "type": "DisruptionTarget", "observedGeneration": pod["metadata"].get("generation", 1), "status": "True",
            "lastProbeTime": None, "lastTransitionTime": self.registry.now(),
            "reason": "DeletionByTaintManager", "message": "Taint manager: deleting due to NoExecute taint",
        }  # fmt: skip

        def change(some: Obj) -> None:
            others = [one for one in some["status"].get("conditions") or () if one["type"] != "DisruptionTarget"]
            some["status"]["conditions"] = [*others, target]

        try:
            self.registry.modify(POD, namespace, name, change, "status")
            self.registry.delete(POD, namespace, name)
        except ApiError as error:
            if error.code != 404:
                raise
        self._due.pop(uid_of(pod), None)

    def _tell(self, pod: Obj, message: str) -> None:
        meta = pod["metadata"]
        about = {"kind": "Pod", "apiVersion": "v1", "metadata": {"namespace": meta["namespace"], "name": meta["name"]}}
        self._recorder.event(about, "Normal", "TaintManagerEviction", message)


def _no_execute(node: Obj | None) -> list[Obj]:
    taints = ((node or {}).get("spec") or {}).get("taints") or []
    return [one for one in taints if one["effect"] == "NoExecute"]


def _patience(pod: Obj, taints: list[Obj]) -> float | None:
    """Lab seconds that a pod may stay with these taints; None: for ever."""
    shortest: float | None = None
    for taint in taints:
        matching = [one for one in pod["spec"].get("tolerations") or () if tolerates(one, taint)]
        if not matching:
            return 0.0
        limits = [float(max(0, one["tolerationSeconds"])) for one in matching if one.get("tolerationSeconds") is not None]
        if limits:
            shortest = min(limits) if shortest is None else min(shortest, *limits)
    return shortest
