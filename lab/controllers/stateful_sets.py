"""Stateful sets: pods with numbers, in order, each with its own name and volumes."""

from __future__ import annotations

import contextlib
from typing import Any

from lab.controllers.adoption import claim
from lab.controllers.availability import ReadySince
from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.events import Recorder
from lab.controllers.histories import Histories
from lab.controllers.objects import controller_of, controller_uid, is_deleting, is_finished, namespace_terminates, uid_of
from lab.controllers.stateful_claims import Claims
from lab.controllers.stateful_pods import (
    first_ordinal,
    identity_labels,
    is_healthy,
    is_running_and_ready,
    new_pod,
    ordinal_of,
    ordinals,
    parent_of,
    revision_of,
)  # fmt: skip
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import CONTROLLER_REVISION, POD, STATEFUL_SET
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import labels_of, match_selector
from lab.kubernetes.store import Event

Obj = dict[str, Any]

_STATUS_ALWAYS = ("replicas", "availableReplicas")


class StatefulSetController(Controller):
    """Keeps every number of a set at one pod."""

    watches = (STATEFUL_SET, POD)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._recorder = Recorder(registry, "statefulset-controller")
        self._claims = Claims(registry, self._recorder)
        self._histories = Histories(self, STATEFUL_SET, "controller.kubernetes.io/hash")
        self._ready_since = ReadySince(self.clock)
        self._pods = self.index(POD, controller_uid)
        self._orphans = self.index(POD, lambda pod: () if controller_of(pod) else ((pod["metadata"]["namespace"], parent_of(pod)),))
        self._sets = self.index(STATEFUL_SET, lambda one: (uid_of(one),))

    def on_event(self, event: Event) -> None:
        """A set, or a pod that is or could be one of its."""
        if event.kind is STATEFUL_SET:
            self.queue.add(key_of(event.object))
            return
        self._ready_since.note(event)
        for pod in (event.object, event.old):
            if pod is not None:
                self._wake(pod)

    def _wake(self, pod: Obj) -> None:
        for uid in controller_uid(pod):
            for owner in self._sets.get(uid):
                self.queue.add(key_of(owner))
        if controller_of(pod) is None and (parent := parent_of(pod)):
            key = pod["metadata"]["namespace"], parent
            if self.registry.find(STATEFUL_SET, *key) is not None:
                self.queue.add(key)

    def sync(self, key: Key) -> None:
        """One step in the order of the set, then the status of what was there before it."""
        owner = self.registry.find(STATEFUL_SET, *key)
        if owner is None:
            return
        matches = match_selector(owner["spec"]["selector"])
        candidates = [*self._pods.get(uid_of(owner)), *self._orphans.get(key)]
        pods = claim(self.registry, STATEFUL_SET, owner, POD, candidates, matches)
        step = _Step(self, owner, [pod for pod in pods if parent_of(pod) == key[1]])
        failure: ApiError | None = None
        try:
            if not is_deleting(owner):
                step.take()
        except ApiError as error:
            failure = error
        self._write(owner, step)
        live = {step.current["metadata"]["name"], step.update["metadata"]["name"], *(revision_of(pod) for pod in pods)}
        self._histories.truncate(owner, step.revisions, live)
        if (wait := self._ready_since.next_look(owner, pods)) is not None:
            self.queue.add_after(key, wait)
        if failure is not None and not namespace_terminates(failure):
            raise failure

    def _write(self, owner: Obj, step: _Step) -> None:
        status = step.status
        rolling = owner["spec"]["updateStrategy"].get("type") == "RollingUpdate"
        if rolling and status["updatedReplicas"] == status["readyReplicas"] == status["replicas"]:
            status["currentReplicas"], status["currentRevision"] = status["updatedReplicas"], status["updateRevision"]
        counts = {name for name in status if name.endswith("Replicas")} - set(_STATUS_ALWAYS)
        shown = {name: value for name, value in status.items() if value or name not in counts}
        shown.update({name: value for name, value in owner.get("status", {}).items() if name == "conditions"})
        if shown != owner.get("status"):
            with contextlib.suppress(ApiError):
                self.registry.replace(STATEFUL_SET, {**owner, "status": shown}, "status")

    # -- what a step does; the set's own events tell of it

    def create_pod(self, owner: Obj, revision: Obj, ordinal: int) -> None:
        """A pod and the claims that it needs."""
        name, pod_name = owner["metadata"]["name"], f"{owner['metadata']['name']}-{ordinal}"
        try:
            self._claims.create(owner, pod_name)
            self.registry.create(POD, new_pod(owner, revision, ordinal), owner["metadata"]["namespace"])
        except ApiError as error:
            if error.code == 409:  # somebody else's pod has this name; the event of its end wakes this set
                return
            if not namespace_terminates(error):
                text = f"Create Pod {pod_name} in StatefulSet {name} failed error: {error.message}"
                self._recorder.event(owner, "Warning", "FailedCreate", text)
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Create Pod {pod_name} in StatefulSet {name} successful")

    def delete_pod(self, owner: Obj, pod: Obj) -> None:
        """A pod that has to go, or to be made again."""
        name, (namespace, pod_name) = owner["metadata"]["name"], key_of(pod)
        self.registry.delete(POD, namespace, pod_name)
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Delete Pod {pod_name} in StatefulSet {name} successful")

    def replace_ended(self, owner: Obj, pod: Obj) -> None:
        """A pod that ended by itself makes room for a new one."""
        failed = pod["status"].get("phase") == "Failed"
        kind, reason, word = ("Warning", "RecreatingFailedPod", "failed") if failed else ("Normal", "RecreatingTerminatedPod", "terminated")
        text = f"StatefulSet {'/'.join(key_of(owner))} is recreating {word} Pod {pod['metadata']['name']}"
        self._recorder.event(owner, "Warning" if kind == "Warning" else "Normal", reason, text)
        self.delete_pod(owner, pod)

    def keep_pod(self, owner: Obj, pod: Obj) -> None:
        """Sets right what is a pod's own: its labels and its claims."""
        labels = identity_labels(pod["metadata"]["name"], ordinal_of(pod))
        renamed = not labels.items() <= labels_of(pod).items()
        if renamed:
            self.registry.modify(POD, *key_of(pod), lambda some: some["metadata"].setdefault("labels", {}).update(labels))
        if self._claims.keep(owner, pod, condemned=False) or renamed:
            text = f"Update Pod {pod['metadata']['name']} in StatefulSet {owner['metadata']['name']} successful"
            self._recorder.event(owner, "Normal", "SuccessfulUpdate", text)

    def condemn_pod(self, owner: Obj, pod: Obj) -> None:
        """The claims of a pod that is about to go for good."""
        self._claims.keep(owner, pod, condemned=True)

    def is_available(self, owner: Obj, pod: Obj) -> bool:
        """Whether a pod is ready and has been for long enough."""
        return self._ready_since.is_available(owner, pod)

    def revisions_of(self, owner: Obj) -> tuple[list[Obj], Obj, Obj, int]:
        """All revisions, the one to leave, the one to go to, and how many names of revisions were taken."""
        known = self._histories.of(owner)
        status = owner.get("status", {})
        update, collisions = self._histories.newest(owner, known, status.get("collisionCount", 0))
        current = self.registry.find(CONTROLLER_REVISION, owner["metadata"]["namespace"], status.get("currentRevision", "")) or update
        return known, current, update, collisions


class _Step:
    """One look at a set: at most one pod is made or deleted, unless pods are managed in parallel."""

    def __init__(self, controller: StatefulSetController, owner: Obj, pods: list[Obj]) -> None:
        self._controller = controller
        self._owner = owner
        self._ordered: bool = owner["spec"].get("podManagementPolicy") != "Parallel"
        wanted = ordinals(owner)
        self._replicas = {ordinal_of(pod): pod for pod in pods if ordinal_of(pod) in wanted}
        self._condemned = sorted((pod for pod in pods if ordinal_of(pod) not in wanted), key=ordinal_of, reverse=True)
        self.revisions, self.current, self.update, collisions = controller.revisions_of(owner)
        self.status = self._count(pods, collisions)

    def _count(self, pods: list[Obj], collisions: int) -> Obj:
        current, update = self.current["metadata"]["name"], self.update["metadata"]["name"]
        staying = [revision_of(pod) for pod in pods if not is_deleting(pod)]
        return {
            "observedGeneration": self._owner["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": sum(is_running_and_ready(pod) for pod in pods),
            "currentReplicas": staying.count(current),
            "updatedReplicas": staying.count(update),
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": collisions,
            "availableReplicas": sum(is_running_and_ready(pod) and self._controller.is_available(self._owner, pod) for pod in pods),
        }

    def take(self) -> None:
        """Make what is missing, then delete what is too much, then renew what is old."""
        for ordinal in ordinals(self._owner):
            if self._stops_at(ordinal):
                return
        for pod in self._condemned:
            self._controller.condemn_pod(self._owner, pod)
        for pod in self._condemned:
            if self._stops_before_deleting(pod):
                return
        if self._owner["spec"]["updateStrategy"].get("type") == "RollingUpdate":
            self._renew()

    def _stops_at(self, ordinal: int) -> bool:
        """Looks at one number; says whether the next ones have to wait."""
        pod = self._replicas.get(ordinal)
        if pod is None:
            self._controller.create_pod(self._owner, self._revision_for(ordinal), ordinal)
            return self._ordered
        if is_finished(pod):
            if not is_deleting(pod):
                self._controller.replace_ended(self._owner, pod)
            return True
        if self._ordered and not (is_healthy(pod) and self._controller.is_available(self._owner, pod)):
            return True
        if not is_deleting(pod):
            self._controller.keep_pod(self._owner, pod)
        return False

    def _revision_for(self, ordinal: int) -> Obj:
        strategy = self._owner["spec"]["updateStrategy"]
        kept = (strategy.get("rollingUpdate") or {}).get("partition", 0) if strategy.get("type") == "RollingUpdate" else 0
        return self.current if ordinal < first_ordinal(self._owner) + kept else self.update

    def _stops_before_deleting(self, pod: Obj) -> bool:
        if is_deleting(pod):
            return self._ordered
        if self._ordered and not self._controller.is_available(self._owner, pod) and pod is not self._first_unhealthy():
            return True
        self._controller.delete_pod(self._owner, pod)
        return self._ordered

    def _first_unhealthy(self) -> Obj | None:
        everyone = sorted([*self._replicas.values(), *self._condemned], key=ordinal_of)
        return next((pod for pod in everyone if not is_healthy(pod)), None)

    def _renew(self) -> None:
        """From the highest number down to the partition: one old pod at a time, and only while all above it are well."""
        kept = (self._owner["spec"]["updateStrategy"].get("rollingUpdate") or {}).get("partition", 0)
        for ordinal in reversed(ordinals(self._owner)[kept:]):
            pod = self._replicas.get(ordinal)
            if pod is None:
                return
            if revision_of(pod) != self.update["metadata"]["name"] and not is_deleting(pod):
                self._controller.delete_pod(self._owner, pod)
                self.status["currentReplicas"] -= 1
                return
            if not is_healthy(pod):
                return
