"""Deployments: which of them to look at, and which replica sets and how much time each has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.controllers.adoption import claim
from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.deployment_status import has_deadline
from lab.controllers.events import Recorder
from lab.controllers.objects import condition, controller_of, controller_uid, uid_of
from lab.controllers.rollout import Rollout
from lab.kubernetes.kinds import DEPLOYMENT, POD, REPLICA_SET
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import labels_of, match_selector
from lab.kubernetes.store import Event
from lab.kubernetes.values import clone

Obj = dict[str, Any]


class DeploymentController(Controller):
    """Moves deployments from one template to the next."""

    watches = (DEPLOYMENT, REPLICA_SET, POD)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._recorder = Recorder(registry, "deployment-controller")
        self._deployments = self.index(DEPLOYMENT, lambda obj: (uid_of(obj), ("namespace", obj["metadata"]["namespace"])))
        self._sets = self.index(REPLICA_SET, controller_uid)
        self._set_by_uid = self.index(REPLICA_SET, lambda obj: (uid_of(obj),))
        self._orphans = self.index(REPLICA_SET, _namespace_of_orphan)
        self._pods = self.index(POD, controller_uid)
        self._progress: dict[str, tuple[str, float]] = {}  # uid -> time of the last progress as the status has it, and the lab second of that

    def on_event(self, event: Event) -> None:
        """A deployment, a replica set of one, or the end of a pod that a Recreate may have waited for."""
        if event.kind is DEPLOYMENT:
            self.queue.add(key_of(event.object))
            if event.type == "DELETED":
                self._progress.pop(uid_of(event.object), None)
        elif event.kind is REPLICA_SET:
            for replica_set in (event.object, event.old):
                if replica_set is not None:
                    self._wake_owner(replica_set)
            if controller_of(event.object) is None and event.type != "DELETED":
                self._wake_adopters(event.object)
        elif event.type == "DELETED":
            for uid in controller_uid(event.object):
                for replica_set in self._set_by_uid.get(uid):
                    self._wake_owner(replica_set, only="Recreate")

    def _wake_owner(self, replica_set: Obj, only: str | None = None) -> None:
        for uid in controller_uid(replica_set):
            for deployment in self._deployments.get(uid):
                if only is None or deployment["spec"]["strategy"]["type"] == only:
                    self.queue.add(key_of(deployment))

    def _wake_adopters(self, replica_set: Obj) -> None:
        for deployment in self._deployments.get(("namespace", replica_set["metadata"]["namespace"])):
            if match_selector(deployment["spec"]["selector"])(labels_of(replica_set)):
                self.queue.add(key_of(deployment))

    def sync(self, key: Key) -> None:
        """One look at a deployment."""
        found = self.registry.find(DEPLOYMENT, *key)
        if found is None:
            return
        selector = match_selector(found["spec"]["selector"])
        candidates = [*self._sets.get(uid_of(found)), *self._orphans.get(key[0])]
        sets = claim(self.registry, DEPLOYMENT, found, REPLICA_SET, candidates, selector)
        pods = {uid_of(one): self._pods.get(uid_of(one)) for one in sets}
        since = self._since_progress(found)
        own = {**found, "metadata": clone(found["metadata"]), "status": clone(found.get("status", {}))}
        Rollout(self.registry, self._recorder, own, sets, pods, since).run()
        self._look_again(key, found, since)

    def _since_progress(self, deployment: Obj) -> float:
        """Lab seconds since the last progress. Measured here, as times in a status are of whole, real seconds."""
        updated = (condition(deployment, "Progressing") or {}).get("lastUpdateTime", "")
        now = self.clock.monotonic()
        known = self._progress.get(uid_of(deployment))
        if known is None or known[0] != updated:
            known = self._progress[uid_of(deployment)] = (updated, now)
        return now - known[1]

    def _look_again(self, key: Key, deployment: Obj, since: float) -> None:
        """Come back when the deadline for progress will have passed."""
        progressing = condition(deployment, "Progressing")
        if has_deadline(deployment) and progressing and progressing["reason"] not in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
            self.queue.add_after(key, max(1.0, deployment["spec"]["progressDeadlineSeconds"] - since + 1.0))


def _namespace_of_orphan(replica_set: Obj) -> Iterable[str]:
    return (replica_set["metadata"]["namespace"],) if controller_of(replica_set) is None else ()
