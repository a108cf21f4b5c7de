"""What remains of jobs: finished ones whose time is up, and pods that wait to be counted by nobody."""

from __future__ import annotations

import contextlib
from typing import Any

from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.job_pods import TRACKING, is_tracked
from lab.controllers.job_policies import is_over
from lab.controllers.objects import controller_of, controller_uid, is_deleting, uid_of
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import JOB, POD
from lab.kubernetes.registry import DeleteOptions, Registry
from lab.kubernetes.store import Event

Obj = dict[str, Any]


class FinishedJobs(Controller):
    """Deletes jobs some time after they are over, with their pods (`ttlSecondsAfterFinished`)."""

    watches = (JOB,)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._over_since: dict[str, float] = {}  # job uid -> lab second

    def on_event(self, event: Event) -> None:
        """A job that is over and has a time to live."""
        if event.type == "DELETED":
            self._over_since.pop(uid_of(event.object), None)
        elif is_over(event.object) and event.object["spec"].get("ttlSecondsAfterFinished") is not None:
            self._over_since.setdefault(uid_of(event.object), self.clock.monotonic())
            self.queue.add(key_of(event.object))

    def sync(self, key: Key) -> None:
        """Delete the job when its time is up."""
        job = self.registry.find(JOB, *key)
        since = self._over_since.get(uid_of(job)) if job else None
        ttl = job["spec"].get("ttlSecondsAfterFinished") if job else None
        if job is None or since is None or ttl is None or is_deleting(job):
            return
        left = since + float(ttl) - self.clock.monotonic()
        if left > 0:
            self.queue.add_after(key, left)
            return
        with contextlib.suppress(ApiError):
            self.registry.delete(JOB, *key, DeleteOptions(propagation="Foreground"))


class OrphanPods(Controller):
    """Lets pods go that still wait to be counted though their job is gone or over."""

    watches = (POD, JOB)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._pods = self.index(POD, lambda pod: controller_uid(pod) if is_tracked(pod) else ())
        self._jobs = self.index(JOB, lambda job: (uid_of(job),))

    def on_event(self, event: Event) -> None:
        """Tracked pods, and those of a job that ends."""
        if event.kind is POD:
            if event.type != "DELETED" and is_tracked(event.object) and self._is_orphan(event.object):
                self.queue.add(key_of(event.object))
        elif event.type == "DELETED" or is_over(event.object):
            for pod in self._pods.get(uid_of(event.object)):
                self.queue.add(key_of(pod))

    def _is_orphan(self, pod: Obj) -> bool:
        owner = controller_of(pod)
        if owner is None:
            return True
        jobs = self._jobs.get(owner["uid"])
        return not jobs or is_over(jobs[0])

    def sync(self, key: Key) -> None:
        """Take the finalizer away if nobody is going to count the pod."""
        pod = self.registry.find(POD, *key)
        if pod is None or not is_tracked(pod) or not self._is_orphan(pod):
            return
        untrack(self.registry, pod)


def untrack(registry: Registry, pod: Obj) -> None:
    """Take the tracking finalizer from a pod."""

    def change(some: Obj) -> None:
        left = [one for one in some["metadata"].get("finalizers") or () if one != TRACKING]
        some["metadata"].pop("finalizers", None)
        if left:
            some["metadata"]["finalizers"] = left

    with contextlib.suppress(ApiError):
        registry.modify(POD, *key_of(pod), change)
