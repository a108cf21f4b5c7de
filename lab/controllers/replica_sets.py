"""Replica sets: as many pods as asked for, and a status that tells how far they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.controllers.adoption import claim
from lab.controllers.availability import ReadySince
from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.objects import (
    condition,
    controller_of,
    controller_reference,
    controller_uid,
    is_active,
    is_deleting,
    is_finished,
    is_ready,
    is_terminating,
    moment,
    uid_of,
)
from lab.controllers.pod_control import BURST, PodControl
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import POD, REPLICA_SET
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import labels_of, match_selector
from lab.kubernetes.store import Event

Obj = dict[str, Any]


class ReplicaSetController(Controller):
    """Keeps pods at the number of replicas."""

    watches = (REPLICA_SET, POD)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._control = PodControl(registry, "replicaset-controller")
        self._pods = self.index(POD, controller_uid)
        self._orphans = self.index(POD, _namespace_of_orphan)
        self._ready_since = ReadySince(self.clock)
        self._sets = self.index(REPLICA_SET, lambda obj: (uid_of(obj), ("namespace", obj["metadata"]["namespace"]), *_deployment(obj)))

    def on_event(self, event: Event) -> None:
        """A replica set, or a pod of one."""
        if event.kind is REPLICA_SET:
            self.queue.add(key_of(event.object))
            return
        self._ready_since.note(event)
        for pod in (event.object, event.old):
            if pod is None:
                continue
            for uid in controller_uid(pod):
                for owner in self._sets.get(uid):
                    self.queue.add(key_of(owner))
        if controller_of(event.object) is None and event.type != "DELETED" and labels_of(event.object):
            self._wake_adopters(event.object)

    def _wake_adopters(self, pod: Obj) -> None:
        for owner in self._sets.get(("namespace", pod["metadata"]["namespace"])):
            if match_selector(owner["spec"]["selector"])(labels_of(pod)):
                self.queue.add(key_of(owner))

    def sync(self, key: Key) -> None:
        """Make or delete pods, then write the status of what was there before."""
        owner = self.registry.find(REPLICA_SET, *key)
        if owner is None:
            return
        pods = self._claimed(owner)
        active = [pod for pod in pods if is_active(pod)]
        terminating = sum(is_terminating(pod) for pod in pods)
        failure: ApiError | None = None
        missing = owner["spec"].get("replicas", 1) - len(active)
        if not is_deleting(owner):
            try:
                self._manage(owner, active, missing)
            except ApiError as error:
                failure = error
        self._write_status(owner, active, terminating, missing, failure)
        if failure is not None:
            raise failure
        self._look_again(owner, active)

    def _claimed(self, owner: Obj) -> list[Obj]:
        candidates = [*self._pods.get(uid_of(owner)), *self._orphans.get(owner["metadata"]["namespace"])]
        return claim(self.registry, REPLICA_SET, owner, POD, candidates, match_selector(owner["spec"]["selector"]))

    def _manage(self, owner: Obj, active: list[Obj], missing: int) -> None:
        if missing > 0:
            _, failure = self._control.create_all(range(min(missing, BURST)), lambda _: self._control.create(owner, pod_from_template(owner)))
            if failure is not None:
                raise failure
        elif missing < 0:
            for pod in self._to_delete(owner, active, min(-missing, BURST)):
                self._control.delete(owner, pod)

    def _to_delete(self, owner: Obj, active: list[Obj], number: int) -> list[Obj]:
        """The pods whose loss hurts least."""
        if number >= len(active):
            return active
        on_node: dict[str, int] = {}
        for sibling in self._siblings(owner):
            for pod in self._pods.get(uid_of(sibling)):
                if is_active(pod):
                    node = pod["spec"].get("nodeName", "")
                    on_node[node] = on_node.get(node, 0) + 1
        newest_first = sorted(active, key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
        return sorted(newest_first, key=lambda pod: worth(pod, on_node))[:number]

    def _siblings(self, owner: Obj) -> list[Obj]:
        """Replica sets of the same deployment: a node crowded by any of them is one to leave."""
        deployment = controller_of(owner)
        return self._sets.get(("deployment", deployment["uid"])) if deployment else [owner]

    def _write_status(self, owner: Obj, active: list[Obj], terminating: int, missing: int, failure: ApiError | None) -> None:
        status = self._status(owner, active, terminating)
        conditions = [one for one in owner.get("status", {}).get("conditions") or () if one["type"] != "ReplicaFailure"]
        if failure is not None:
            before = condition(owner, "ReplicaFailure")
            conditions.append(before or _failure(missing, failure, self.registry.now()))
        if conditions:
            status["conditions"] = conditions
        if status != owner.get("status"):
            self.registry.replace(REPLICA_SET, {**owner, "status": status}, "status")

    def _status(self, owner: Obj, active: list[Obj], terminating: int) -> Obj:
        labels = owner["spec"].get("template", {}).get("metadata", {}).get("labels") or {}
        counts = {
            "replicas": len(active),
            "fullyLabeledReplicas": sum(labels.items() <= labels_of(pod).items() for pod in active),
            "readyReplicas": sum(is_ready(pod) for pod in active),
            "availableReplicas": sum(self._ready_since.is_available(owner, pod) for pod in active),
        }
        status: Obj = {name: number for name, number in counts.items() if number or name == "replicas"}
        return {**status, "terminatingReplicas": terminating, "observedGeneration": owner["metadata"]["generation"]}

    def _look_again(self, owner: Obj, active: list[Obj]) -> None:
        wait = self._ready_since.next_look(owner, active)
        if wait is not None:
            self.queue.add_after(key_of(owner), wait)


def pod_from_template(owner: Obj) -> Obj:
    """The pod that a controller with a template asks for."""
    template = owner["spec"]["template"]
    meta = template.get("metadata") or {}
    name = owner["metadata"]["name"]
    wanted = {"labels": meta.get("labels"), "annotations": meta.get("annotations"), "finalizers": meta.get("finalizers")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-",
            **{key: value for key, value in wanted.items() if value},
            "ownerReferences": [controller_reference(REPLICA_SET, owner)],
        },
        "spec": template["spec"],
    }


def _namespace_of_orphan(pod: Obj) -> Iterable[str]:
    return (pod["metadata"]["namespace"],) if controller_of(pod) is None and not is_finished(pod) and labels_of(pod) else ()


def _deployment(replica_set: Obj) -> Iterable[tuple[str, str]]:
    owner = controller_of(replica_set)
    return (("deployment", owner["uid"]),) if owner else ()


def worth(pod: Obj, on_node: dict[str, int]) -> tuple[Any, ...]:
    """Sorts the pods to lose first to the front."""
    ready = is_ready(pod)
    cost = _deletion_cost(pod)
    since = moment((condition(pod, "Ready") or {}).get("lastTransitionTime")).timestamp() if ready else 0.0
    restarts = sum(status.get("restartCount", 0) for status in pod["status"].get("containerStatuses") or ())
    phase = {"Pending": 0, "Unknown": 1, "Running": 2}.get(pod["status"].get("phase", ""), 1)
    node = pod["spec"].get("nodeName", "")
    return (bool(node), phase, ready, cost, -on_node.get(node, 0), -since, -restarts)


def _deletion_cost(pod: Obj) -> int:
    """The pod-deletion-cost annotation: lower goes first."""
    try:
        return int((pod["metadata"].get("annotations") or {}).get("controller.kubernetes.io/pod-deletion-cost", "0"))
    except ValueError:
        return 0


def _failure(missing: int, error: ApiError, now: str) -> Obj:
    return {
        "type": "ReplicaFailure", "status": "True", "lastTransitionTime": now,
        "reason": "FailedCreate" if missing > 0 else "FailedDelete", "message": error.message,
    }  # fmt: skip
