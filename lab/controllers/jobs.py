"""Jobs: pods until enough of them have succeeded, each counted exactly once.

A pod carries a finalizer until it is counted. Counting takes two writes of the status: the first names the ended pods, then the finalizers go,
the second turns the names into numbers. So a job that is decided says so first (SuccessCriteriaMet, FailureTarget) and is over (Complete, Failed)
only when no pod is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.controllers.adoption import claim
from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.job_cleanup import untrack
from lab.controllers.job_indexes import failures_of, ignored_failures_of, index_of, pending, text_of
from lab.controllers.job_pods import has_failed, is_tracked, new_pod, replaces_only_failed
from lab.controllers.job_policies import COMPLETE, FAILED, SUSPENDED, final, is_over, match_failure, new_condition
from lab.controllers.job_round import Round
from lab.controllers.job_timing import Backoff, EndTimes, delay
from lab.controllers.objects import controller_of, controller_uid, is_deleting, is_finished, is_ready, is_terminating, uid_of
from lab.controllers.pod_control import BURST, PodControl
from lab.controllers.replica_sets import worth
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import JOB, POD
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import labels_of, match_selector
from lab.kubernetes.store import Event

Obj = dict[str, Any]

_BATCHED = 1.0  # lab seconds for which changes of pods are collected
_SHARE = 3.0  # a job that takes long to look at is looked at less often: at most a quarter of the time
_MOST_UNCOUNTED = 500  # pods named in a status at once
_OURS = "kubernetes.io/job-controller"


class JobController(Controller):
    """Runs jobs to completion."""

    watches = (JOB, POD)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._control = PodControl(registry, "job-controller")
        self._recorder = self._control.recorder
        self._pods = self.index(POD, _owner_while_it_matters)
        self._orphans = self.index(POD, _namespace_of_orphan)
        self._jobs = self.index(JOB, lambda obj: (uid_of(obj), ("namespace", obj["metadata"]["namespace"])))
        self._ends = EndTimes(self.clock)
        self._backoffs: dict[str, Backoff] = {}
        self._takes: dict[Key, float] = {}  # lab seconds that the last look took
        self._started: dict[str, tuple[str, float]] = {}  # job uid -> its startTime, and the lab second of it

    def on_event(self, event: Event) -> None:
        """A job at once when it was changed by somebody else; for pods, and for our own writes, once a second."""
        if event.kind is JOB:
            self._on_job(event)
            return
        pod = event.object
        for uid in controller_uid(pod):
            for job in self._jobs.get(uid):
                self._ends.note(pod, event.type == "DELETED")
                self._look_later(key_of(job))
        if controller_of(pod) is None and event.type != "DELETED" and labels_of(pod):
            for job in self._jobs.get(("namespace", pod["metadata"]["namespace"])):
                if match_selector(job["spec"]["selector"])(labels_of(pod)):
                    self._look_later(key_of(job))

    def _on_job(self, event: Event) -> None:
        job, key = event.object, key_of(event.object)
        if event.type == "DELETED":
            self._backoffs.pop(uid_of(job), None)
            self._started.pop(uid_of(job), None)
            self._takes.pop(key, None)
        if event.old is not None and event.type != "DELETED" and event.old["metadata"]["generation"] == job["metadata"]["generation"]:
            self._look_later(key)
        else:
            self.queue.add(key)

    def _look_later(self, key: Key) -> None:
        self.queue.add_after(key, max(_BATCHED, _SHARE * self._takes.get(key, 0.0)))

    def sync(self, key: Key) -> None:
        """Count what ended, decide, make or delete pods, write the status."""
        began = self.clock.monotonic()
        job = self.registry.find(JOB, *key)
        if job is None or is_over(job) or job["spec"].get("managedBy", _OURS) != _OURS:
            return
        look = Round(job, self._claimed(job), self.registry.now())
        self._start(look)
        backoff = self._backoffs.get(uid_of(job), Backoff()).after(look.new_succeeded, look.new_failed, self._ends)
        look.decide(lambda: self._deadline(look) <= 0)
        failure: ApiError | None = None
        if look.verdict is not None:
            self._stop(look, look.active, counted=True)
        else:
            failure = self._manage(look, backoff)
        self._write(look)
        self._backoffs[uid_of(job)] = backoff
        self._takes[key] = self.clock.monotonic() - began
        if failure is not None:
            raise failure

    def _claimed(self, job: Obj) -> list[Obj]:
        candidates = [*self._pods.get(uid_of(job)), *self._orphans.get(job["metadata"]["namespace"])]
        return claim(self.registry, JOB, job, POD, candidates, match_selector(job["spec"]["selector"]))

    # -- time

    def _start(self, look: Round) -> None:
        if "startTime" not in look.status and not look.suspended:
            look.status["startTime"] = look.now

    def _deadline(self, look: Round) -> float:
        """Lab seconds until the job has been active for too long."""
        seconds = look.spec.get("activeDeadlineSeconds")
        begun = look.status.get("startTime")
        if seconds is None or begun is None or look.suspended:
            return 1.0
        uid, now = uid_of(look.job), self.clock.monotonic()
        known = self._started.get(uid)
        if known is None or known[0] != begun:
            known = self._started[uid] = (begun, now)
        left = known[1] + float(seconds) - now
        self.queue.add_after(key_of(look.job), left)
        return left

    # -- pods

    def _manage(self, look: Round, backoff: Backoff) -> ApiError | None:
        """Makes or deletes pods; says what the server refused."""
        failure = None
        if not is_deleting(look.job):
            if look.suspended:
                self._stop(look, look.active, counted=False)
            elif (missing := look.missing()) < 0 or (look.indexed and _superfluous(look)):
                self._stop(look, _to_remove(look, -missing)[:BURST], counted=False)
            else:
                failure = self._create(look, missing, backoff)
        look.complete()
        if look.verdict is None and not is_deleting(look.job):
            self._tell_suspension(look)
        return failure

    def _create(self, look: Round, missing: int, backoff: Backoff) -> ApiError | None:
        if replaces_only_failed(look.job):
            missing -= look.terminating
        missing = min(missing, BURST)
        wishes: list[int | None] = [None] * max(missing, 0)
        if missing <= 0:
            return None
        if look.failed_indexes is None and (wait := backoff.remaining(self.clock.monotonic())) > 0:
            self.queue.add_after(key_of(look.job), wait)
            return None
        if look.indexed:
            wishes = [*self._due_indexes(look, missing)]
        made, failure = self._control.create_all(wishes, lambda index: self._create_one(look, index))
        look.wants_active += made
        return failure

    def _create_one(self, look: Round, index: int | None) -> ApiError | None:
        return self._control.create(look.job, new_pod(look.job, index, None if index is None else look.last_failed.get(index)))

    def _due_indexes(self, look: Round, most: int) -> list[int]:
        """Indexes to make pods for now; those that failed lately have to wait, each for itself."""
        taken = look.completed | (look.failed_indexes or set()) | {index for pod in look.active if (index := index_of(pod)) is not None}
        if replaces_only_failed(look.job):
            taken |= {index for pod in look.pods if is_terminating(pod) and (index := index_of(pod)) is not None}
        if not look.last_failed:
            return pending(look.spec["completions"], taken, most)
        now, due, waits = self.clock.monotonic(), [], []
        for index in pending(look.spec["completions"], taken, look.spec["completions"]):
            last = look.last_failed.get(index)
            wait = 0.0 if last is None else self._ends.of(last) + delay(failures_of(last) + ignored_failures_of(last) + 1) - now
            if wait <= 0:
                due.append(index)
            else:
                waits.append(wait)
        if len(due) < most and waits:
            self.queue.add_after(key_of(look.job), min(waits))
        return due[:most]

    def _stop(self, look: Round, pods: list[Obj], counted: bool) -> None:
        """Deletes pods. Those that the job itself no longer wants are not counted as failed."""
        for pod in pods:
            if not counted:
                untrack(self.registry, pod)
            if self._control.delete(look.job, pod):
                look.terminating += 1
            look.wants_active -= 1
            look.ready -= is_ready(pod)

    def _tell_suspension(self, look: Round) -> None:
        known = look.condition(SUSPENDED)
        if look.suspended and (known is None or known["status"] != "True"):
            look.add_condition(new_condition(SUSPENDED, "JobSuspended", "Job suspended", look.now))
            look.status.pop("startTime", None)
            self._recorder.event(look.job, "Normal", "Suspended", "Job suspended")
        elif not look.suspended and known is not None and known["status"] == "True":
            look.add_condition(new_condition(SUSPENDED, "JobResumed", "Job resumed", look.now, "False"))
            look.status["startTime"] = look.now
            self._recorder.event(look.job, "Normal", "Resumed", "Job resumed")

    # -- status

    def _write(self, look: Round) -> None:
        """Counts pods that ended, in two writes, and ends the job if it is decided and no pod is left."""
        look.set_count("active", look.wants_active)
        look.status["ready"], look.status["terminating"] = look.ready, look.terminating
        ended, complete = self._name_uncounted(look)
        self._note_indexes(look)
        verdict = look.verdict
        if verdict is not None and look.condition(verdict["type"]) is None:
            look.add_condition(verdict)
        self._flush(look)
        for pod in ended:
            untrack(self.registry, pod)
        self._count(look)
        uncounted = look.status["uncountedTerminatedPods"]
        if verdict is None or not complete or uncounted or look.terminating:
            self._flush(look)
            return
        last = final(verdict, look.now)
        if last["type"] == COMPLETE:
            look.status["completionTime"] = look.now
        look.add_condition(last)
        self._flush(look)
        self._tell_end(look.job, last)

    def _name_uncounted(self, look: Round) -> tuple[list[Obj], bool]:
        """Names ended pods in the status; gives those that may be let go, and whether that were all."""
        ended: list[Obj] = []
        succeeded, failed = list(look.uncounted_succeeded), list(look.uncounted_failed)
        new_indexes = 0
        for pod in look.pods:
            if not is_tracked(pod) or not self._may_go(look, pod):
                continue
            if len(succeeded) + len(failed) + new_indexes >= _MOST_UNCOUNTED:
                look.status["uncountedTerminatedPods"] = _uncounted(succeeded, failed)
                return ended, False
            ended.append(pod)
            uid, index = uid_of(pod), index_of(pod) if look.indexed else None
            valid = not look.indexed or (index is not None and index < look.spec["completions"])
            if pod["status"].get("phase") == "Succeeded" and uid not in look.uncounted_failed:
                if look.indexed:
                    if valid and index is not None and index not in look.counted_indexes:
                        look.counted_indexes.add(index)
                        new_indexes += 1
                elif uid not in look.uncounted_succeeded:
                    succeeded.append(uid)
            elif (has_failed(look.job, pod) or look.is_lost()) and valid and uid not in look.uncounted_failed and match_failure(look.job, pod).counts:
                failed.append(uid)
        look.status["uncountedTerminatedPods"] = _uncounted(succeeded, failed)
        return ended, True

    @staticmethod
    def _may_go(look: Round, pod: Obj) -> bool:
        """Whether a pod's part in the job is settled; a failed one stays while the next attempt has to carry on from it."""
        over = has_failed(look.job, pod) or pod["status"].get("phase") == "Succeeded"
        if not over and not is_deleting(look.job) and look.verdict is None:
            return False
        if look.verdict is not None or is_deleting(look.job) or look.failed_indexes is None:
            return True
        index = index_of(pod)
        return index is None or look.last_failed.get(index) is not pod

    def _note_indexes(self, look: Round) -> None:
        if not look.indexed:
            return
        look.set_count("succeeded", len(look.counted_indexes))
        text = text_of(look.counted_indexes)
        if text:
            look.status["completedIndexes"] = text
        else:
            look.status.pop("completedIndexes", None)
        if look.failed_indexes is not None:
            look.status["failedIndexes"] = text_of(look.failed_indexes)

    @staticmethod
    def _count(look: Round) -> None:
        """Names of pods that have been let go become numbers."""
        waiting = look.status["uncountedTerminatedPods"]
        for name in ("succeeded", "failed"):
            if number := len(waiting.get(name) or ()):
                look.set_count(name, look.status.get(name, 0) + number)
        look.status["uncountedTerminatedPods"] = {}

    def _flush(self, look: Round) -> None:
        status = {key: value for key, value in look.status.items() if key != "conditions" or value}
        if status == look.job.get("status"):
            return
        look.job = self.registry.replace(JOB, {**look.job, "status": status}, "status")

    def _tell_end(self, job: Obj, last: Obj) -> None:
        if last["type"] == FAILED:
            self._recorder.event(job, "Warning", last["reason"], last["message"])
        else:
            self._recorder.event(job, "Normal", "Completed", "Job completed")


def _uncounted(succeeded: list[str], failed: list[str]) -> Obj:
    return {name: uids for name, uids in (("succeeded", succeeded), ("failed", failed)) if uids}


def _superfluous(look: Round) -> list[Obj]:
    """Active pods whose index nobody asks for, or that another one works on too."""
    best: dict[int, Obj] = {}
    rest: list[Obj] = []
    for pod in look.active:
        index = index_of(pod)
        if index is None or index >= look.spec["completions"]:
            rest.append(pod)
        elif index in best:
            worse, best[index] = sorted((best[index], pod), key=lambda one: worth(one, {}))
            rest.append(worse)
        else:
            best[index] = pod
    return rest


def _to_remove(look: Round, number: int) -> list[Obj]:
    """Pods to delete when there are too many: first those without a right to be there, then those whose loss hurts least."""
    chosen = _superfluous(look) if look.indexed else []
    names = {uid_of(pod) for pod in chosen}
    left = [pod for pod in look.active if uid_of(pod) not in names]
    left.sort(key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
    left.sort(key=lambda pod: worth(pod, {}))
    return chosen + left[: max(0, number - len(chosen))]


def _owner_while_it_matters(pod: Obj) -> Iterable[str]:
    """Thousands of pods of a large job have ended and been counted: they are not looked at again."""
    return controller_uid(pod) if is_tracked(pod) or not is_finished(pod) else ()


def _namespace_of_orphan(pod: Obj) -> Iterable[str]:
    return (pod["metadata"]["namespace"],) if is_tracked(pod) and controller_of(pod) is None and labels_of(pod) else ()
