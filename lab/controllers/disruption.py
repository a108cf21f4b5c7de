"""Pod disruption budgets: how many pods may be evicted now."""

from __future__ import annotations

import math
from typing import Any

from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.events import Recorder
from lab.controllers.objects import condition, controller_of, is_deleting, is_ready
from lab.kubernetes.kinds import PDB, POD
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import labels_of, match_selector
from lab.kubernetes.store import Event

Obj = dict[str, Any]


class _NoController(Exception):
    """A pod that nothing would replace, in a budget that counts replicas."""


class DisruptionController(Controller):
    """Keeps the status of budgets in step with pods."""

    watches = (PDB, POD)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._recorder = Recorder(registry, "controllermanager")
        self._budgets = self.index(PDB, lambda obj: (obj["metadata"]["namespace"],))
        self._pods = self.index(POD, lambda obj: (obj["metadata"]["namespace"],))
        self._crowded: dict[Key, list[Obj]] = {}  # budget -> pods that others claim too

    def on_event(self, event: Event) -> None:
        """A budget, or a pod of one."""
        if event.kind is PDB:
            self.queue.add(key_of(event.object))
            return
        budgets = self._budgets.get(event.object["metadata"]["namespace"])
        changed = event.old is None or event.type == "DELETED" or _shown(event.old) != _shown(event.object)
        if not changed and len(budgets) < 2:
            return
        found = []
        for budget in budgets:
            test = match_selector(budget["spec"].get("selector"))
            if any(pod is not None and test(labels_of(pod)) for pod in (event.object, event.old)):
                found.append(key_of(budget))
        if len(found) > 1 and event.type != "DELETED":
            self._crowded.setdefault(min(found), []).append(event.object)
        for key in found if changed else found[:1]:
            self.queue.add(key)

    def sync(self, key: Key) -> None:
        """Write how things stand."""
        for pod in self._crowded.pop(key, ()):
            namespace, name = key_of(pod)
            text = f'Pod "{namespace}"/"{name}" matches multiple PodDisruptionBudgets.  Chose "{key[1]}" arbitrarily.'
            self._recorder.event(pod, "Warning", "MultiplePodDisruptionBudgets", text)
        budget = self.registry.find(PDB, *key)
        if budget is None:
            return
        pods = self._members(budget)
        if not pods:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        before = budget.get("status", {})
        disrupted = {name: since for name, since in (before.get("disruptedPods") or {}).items() if any(_waits_for(pod, name) for pod in pods)}
        healthy = sum(is_ready(pod) and not is_deleting(pod) and pod["metadata"]["name"] not in disrupted for pod in pods)
        try:
            expected, desired = self._wanted(budget, pods)
        except _NoController as problem:
            self._recorder.event(budget, "Warning", "NoControllers", str(problem))
            self._write(budget, {**before, "disruptionsAllowed": 0}, "SyncFailed", str(problem))
            return
        allowed = max(0, healthy - desired) if expected else 0
        status = {
            "observedGeneration": budget["metadata"]["generation"], "disruptionsAllowed": allowed, "currentHealthy": healthy,
            "desiredHealthy": desired, "expectedPods": expected,
        }  # fmt: skip
        if disrupted:
            status["disruptedPods"] = disrupted
        self._write(budget, status, "SufficientPods" if allowed else "InsufficientPods", "")

    def _members(self, budget: Obj) -> list[Obj]:
        selector = budget["spec"].get("selector")
        if selector is None:
            return []
        test = match_selector(selector)
        return [pod for pod in self._pods.get(budget["metadata"]["namespace"]) if test(labels_of(pod))]

    def _wanted(self, budget: Obj, pods: list[Obj]) -> tuple[int, int]:
        """How many pods there should be, and how many of them healthy."""
        spec = budget["spec"]
        if "maxUnavailable" in spec:
            expected = self._replicas(pods)
            return expected, max(0, expected - _share(spec["maxUnavailable"], expected))
        least = spec.get("minAvailable", 0)
        if isinstance(least, str):
            expected = self._replicas(pods)
            return expected, _share(least, expected)
        return len(pods), int(least)

    def _replicas(self, pods: list[Obj]) -> int:
        """The replicas that the pods' controllers ask for."""
        sizes: dict[str, int] = {}
        for pod in pods:
            owner = self._top_controller(pod)
            sizes[owner["metadata"]["uid"]] = int(owner["spec"].get("replicas", 1))
        return sum(sizes.values())

    def _top_controller(self, pod: Obj) -> Obj:
        found, reference = None, controller_of(pod)
        while reference is not None:
            kind = self.registry.kinds.by_kind(reference["apiVersion"], reference["kind"])
            owner = self.registry.find(kind, pod["metadata"]["namespace"], reference["name"]) if kind else None
            if owner is None:
                break
            found, reference = owner, controller_of(owner)
        if found is None:
            raise _NoController(f'found no controller ref for pod "{pod["metadata"]["name"]}"')
        return found

    def _write(self, budget: Obj, status: Obj, reason: str, message: str) -> None:
        old = condition(budget, "DisruptionAllowed")
        value = "True" if reason == "SufficientPods" else "False"
        since = old["lastTransitionTime"] if old and old["status"] == value else self.registry.now()
        status["conditions"] = [
            {"type": "DisruptionAllowed", "status": value, "observedGeneration": budget["metadata"]["generation"], "lastTransitionTime": since,
             "reason": reason, "message": message}
        ]  # fmt: skip
        if status != budget.get("status"):
            self.registry.modify(PDB, *key_of(budget), lambda some: some.update(status=status), "status")


def _shown(pod: Obj) -> tuple[Any, ...]:
    return is_ready(pod), is_deleting(pod), labels_of(pod)


def _waits_for(pod: Obj, name: str) -> bool:
    """Whether an eviction was granted for this pod and it is still not on its way out."""
    return pod["metadata"]["name"] == name and not is_deleting(pod)


def _share(value: Any, of: int) -> int:
    """A number, or a percentage rounded up."""
    return math.ceil(of * int(value.rstrip("%")) / 100) if isinstance(value, str) else int(value)
