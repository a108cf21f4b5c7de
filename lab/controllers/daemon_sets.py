"""Daemon sets: one pod on every node that suits."""

from __future__ import annotations

from typing import Any

from lab.controllers.adoption import claim
from lab.controllers.availability import ReadySince
from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.daemon_pods import allowances, belongs_on, is_updated, new_pod, node_of
from lab.controllers.histories import REVISION_LABEL, Histories
from lab.controllers.job_timing import EndTimes
from lab.controllers.objects import controller_of, controller_uid, is_deleting, is_finished, is_ready, uid_of
from lab.controllers.pod_control import BURST, PodControl
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import DAEMON_SET, NODE, POD
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import labels_of, match_selector
from lab.kubernetes.store import Event

Obj = dict[str, Any]

_ALWAYS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 900.0  # lab seconds before an ended pod is replaced


class DaemonSetController(Controller):
    """Keeps a pod on every node that suits."""

    watches = (DAEMON_SET, POD, NODE)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._control = PodControl(registry, "daemonset-controller")
        self._histories = Histories(self, DAEMON_SET, REVISION_LABEL)
        self._ready_since = ReadySince(self.clock)
        self._ends = EndTimes(self.clock)
        self._delays: dict[tuple[str, str], float] = {}  # daemon set uid and node -> how long the last replacement waited
        self._pods = self.index(POD, controller_uid)
        self._orphans = self.index(POD, lambda pod: () if controller_of(pod) or not labels_of(pod) else (pod["metadata"]["namespace"],))
        self._sets = self.index(DAEMON_SET, lambda one: (uid_of(one), "all"))

    def on_event(self, event: Event) -> None:
        """A daemon set, a pod of one, or a node that has changed in what decides where pods belong."""
        if event.kind is DAEMON_SET:
            self.queue.add(key_of(event.object))
        elif event.kind is NODE:
            if event.old is None or event.type == "DELETED" or _shape(event.old) != _shape(event.object):
                self._wake(self._sets.get("all"))
        else:
            self._on_pod(event)

    def _on_pod(self, event: Event) -> None:
        pod = event.object
        for one in (pod, event.old):
            for uid in controller_uid(one) if one is not None else ():
                if owners := self._sets.get(uid):
                    self._ready_since.note(event)
                    self._ends.note(pod, event.type == "DELETED")
                    self._wake(owners)
        if controller_of(pod) is None and event.type != "DELETED" and labels_of(pod):
            fits = [one for one in self._sets.get("all") if one["metadata"]["namespace"] == pod["metadata"]["namespace"]]
            self._wake([one for one in fits if match_selector(one["spec"]["selector"])(labels_of(pod))])

    def _wake(self, owners: list[Obj]) -> None:
        for owner in owners:
            self.queue.add(key_of(owner))

    def sync(self, key: Key) -> None:
        """Make and delete pods, renew old ones, then write the status."""
        owner = self.registry.find(DAEMON_SET, *key)
        if owner is None:
            return
        revisions = self._histories.of(owner)
        newest, collisions = self._histories.newest(owner, revisions, owner.get("status", {}).get("collisionCount", 0))
        revision = newest["metadata"]["labels"][REVISION_LABEL]
        if is_deleting(owner):
            return
        nodes, failure = self.store.items(NODE), None
        try:
            self._manage(owner, nodes, revision)
            if owner["spec"]["updateStrategy"].get("type") == "RollingUpdate":
                self._renew(owner, nodes, revision)
        except ApiError as error:
            failure = error
        pods = self._by_node(owner)
        live = {newest["metadata"]["name"], *(f"{key[1]}-{labels_of(pod).get(REVISION_LABEL)}" for group in pods.values() for pod in group)}
        self._histories.truncate(owner, revisions, live)
        self._write(owner, nodes, pods, revision, collisions)
        if (wait := self._ready_since.next_look(owner, [pod for group in pods.values() for pod in group])) is not None:
            self.queue.add_after(key, wait)
        if failure is not None:
            raise failure

    def _by_node(self, owner: Obj) -> dict[str, list[Obj]]:
        """Its pods, oldest first; those that have ended and are going count no more."""
        candidates = [*self._pods.get(uid_of(owner)), *self._orphans.get(owner["metadata"]["namespace"])]
        pods = claim(self.registry, DAEMON_SET, owner, POD, candidates, match_selector(owner["spec"]["selector"]))
        found: dict[str, list[Obj]] = {}
        for pod in pods:
            if not (is_finished(pod) and is_deleting(pod)):
                found.setdefault(node_of(pod), []).append(pod)
        return found

    # -- pods

    def _manage(self, owner: Obj, nodes: list[Obj], revision: str) -> None:
        pods = self._by_node(owner)
        wanted: list[str] = []
        doomed = [pod for name, group in pods.items() if not any(node["metadata"]["name"] == name for node in nodes) for pod in group
                  if not pod["spec"].get("nodeName")]  # made for a node that has gone meanwhile  # fmt: skip
        for node in nodes:
            name = node["metadata"]["name"]
            should, may = belongs_on(owner, node)
            group = pods.get(name, [])
            if should and not group:
                wanted.append(name)
            elif group:
                doomed += self._superfluous(owner, name, group) if may else group
        for pod in [pod for pod in doomed if not is_deleting(pod)][:BURST]:
            self._control.delete(owner, pod)
        _, failure = self._control.create_all(wanted[:BURST], lambda name: self._control.create(owner, new_pod(owner, revision, name)))
        if failure is not None:
            raise failure

    def _superfluous(self, owner: Obj, node: str, group: list[Obj]) -> list[Obj]:
        """Pods that have ended, after a while, and all but the oldest of several that run."""
        ended = [pod for pod in group if is_finished(pod) and not is_deleting(pod)]
        doomed = [pod for pod in ended if self._may_replace(owner, node, pod)]
        running = [pod for pod in group if not is_finished(pod) and not is_deleting(pod)]
        surge, _ = allowances(owner, len(self.store.items(NODE)))
        if surge or len(running) < 2:
            return doomed
        return doomed + sorted(running, key=lambda pod: pod["metadata"]["creationTimestamp"])[1:]

    def _may_replace(self, owner: Obj, node: str, pod: Obj) -> bool:
        failed = pod["status"].get("phase") == "Failed"
        where = f"{'/'.join(key_of(pod))} on node {node}"
        if failed:
            delay = self._delays.get((uid_of(owner), node), 0.0)
            wait = self._ends.of(pod) + delay - self.clock.monotonic()
            if wait > 0:
                self.queue.add_after(key_of(owner), wait)
                return False
            self._delays[uid_of(owner), node] = min(_LONGEST_DELAY, max(_FIRST_DELAY, delay * 2))
            self._control.recorder.event(owner, "Warning", "FailedDaemonPod", f"Found failed daemon pod {where}, will try to kill it")
        else:
            self._control.recorder.event(owner, "Normal", "SucceededDaemonPod", f"Found succeeded daemon pod {where}, will try to delete it")
        return True

    def _renew(self, owner: Obj, nodes: list[Obj], revision: str) -> None:
        """Old pods go while few enough are missing; with a surge, new ones come beside the old ones first."""
        pods = self._by_node(owner)
        names = [node["metadata"]["name"] for node in nodes if belongs_on(owner, node)[0]]
        surge, unavailable = allowances(owner, len(names))
        if surge:
            self._renew_beside(owner, {name: pods.get(name, []) for name in names}, revision, surge)
            return
        missing = 0
        first: list[Obj] = []
        later: list[Obj] = []
        for name in names:
            old = [pod for pod in pods.get(name, []) if not is_updated(pod, revision)]
            new = [pod for pod in pods.get(name, []) if is_updated(pod, revision)]
            if len(old) == 1 and not new:
                available = self._is_available(owner, old[0])
                missing += not available
                if not is_deleting(old[0]):
                    (later if available else first).append(old[0])
            elif not (new and not old and self._is_available(owner, new[0])):
                missing += 1
        for pod in first + later[: max(0, unavailable - missing)]:
            self._control.delete(owner, pod)

    def _renew_beside(self, owner: Obj, pods: dict[str, list[Obj]], revision: str, surge: int) -> None:
        beside = 0
        wanted: list[str] = []
        later: list[str] = []
        for name, group in pods.items():
            old = [pod for pod in group if not is_updated(pod, revision) and not is_deleting(pod)]
            new = [pod for pod in group if is_updated(pod, revision)]
            if old and new:
                if self._is_available(owner, new[0]):
                    self._control.delete(owner, old[0])
                else:
                    beside += 1
            elif old:
                (later if self._is_available(owner, old[0]) else wanted).append(name)
        for name in wanted + later[: max(0, surge - beside)]:
            if (failure := self._control.create(owner, new_pod(owner, revision, name))) is not None:
                raise failure

    def _is_available(self, owner: Obj, pod: Obj) -> bool:
        return self._ready_since.is_available(owner, pod) and not is_deleting(pod)

    # -- status

    def _write(self, owner: Obj, nodes: list[Obj], pods: dict[str, list[Obj]], revision: str, collisions: int) -> None:
        counts = dict.fromkeys((*_ALWAYS, "updatedNumberScheduled", "numberAvailable"), 0)
        for node in nodes:
            group = sorted(pods.get(node["metadata"]["name"], ()), key=lambda pod: pod["metadata"]["creationTimestamp"])
            should, _ = belongs_on(owner, node)
            counts["desiredNumberScheduled"] += should
            if not should or not group:
                counts["numberMisscheduled"] += bool(group)
                continue
            counts["currentNumberScheduled"] += 1
            counts["numberReady"] += is_ready(group[0])
            counts["numberAvailable"] += self._ready_since.is_available(owner, group[0])
            counts["updatedNumberScheduled"] += is_updated(group[-1], revision)
        counts["numberUnavailable"] = counts["desiredNumberScheduled"] - counts["numberAvailable"]
        status: Obj = {name: number for name, number in counts.items() if number or name in _ALWAYS}
        status["observedGeneration"] = owner["metadata"]["generation"]
        if collisions:
            status["collisionCount"] = collisions
        if status != owner.get("status"):
            self.registry.replace(DAEMON_SET, {**owner, "status": status}, "status")


def _shape(node: Obj) -> tuple[Any, ...]:
    """What of a node decides which pods belong there."""
    return node["metadata"].get("labels"), node.get("spec")
