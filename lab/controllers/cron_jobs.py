"""Cron jobs: a job at every time of a schedule. Schedules are in real time, however quick the lab is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from lab.clock import timestamp
from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.events import Recorder, reference
from lab.controllers.job_policies import is_over, is_true
from lab.controllers.objects import controller_of, controller_reference, controller_uid, is_deleting, moment, uid_of
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import CRON_JOB, JOB
from lab.kubernetes.registry import DeleteOptions, Registry
from lab.kubernetes.store import Event

Obj = dict[str, Any]

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_NAMED = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_TOO_MANY = 100  # missed times


def times(cron_job: Obj, since: datetime) -> Iterator[datetime]:
    """The times of the schedule after a moment, in UTC. CronSimError for a schedule that is none."""
    schedule = cron_job["spec"]["schedule"].strip()
    zone = ZoneInfo(cron_job["spec"]["timeZone"]) if cron_job["spec"].get("timeZone") else UTC
    for time in CronSim(_NAMED.get(schedule, schedule).replace("?", "*"), since.astimezone(zone)):
        yield time.astimezone(UTC)


class CronJobController(Controller):
    """Makes jobs when their time has come, and forgets old ones."""

    watches = (CRON_JOB, JOB)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._recorder = Recorder(registry, "cronjob-controller")
        self._jobs = self.index(JOB, controller_uid)

    def on_event(self, event: Event) -> None:
        """A cron job, or one of its jobs."""
        if event.kind is CRON_JOB:
            self.queue.add(key_of(event.object))
        elif (owner := controller_of(event.object)) and owner["kind"] == CRON_JOB.kind:
            self.queue.add((event.object["metadata"]["namespace"], owner["name"]))

    def sync(self, key: Key) -> None:
        """Note what ended, make what is due, delete what is old."""
        owner = self.registry.find(CRON_JOB, *key)
        if owner is None:
            return
        jobs = self._jobs.get(uid_of(owner))
        status = {**owner.get("status", {})}
        self._note_ended(owner, jobs, status)
        if not is_deleting(owner) and not owner["spec"].get("suspend"):
            try:
                self._run_due(owner, jobs, status)
            except (CronSimError, ValueError, KeyError) as error:  # no such schedule or time zone
                self._recorder.event(owner, "Warning", "UnparseableSchedule", f"unparseable schedule: {error}")
        self._forget_old(owner, jobs)
        status = {name: value for name, value in status.items() if value}
        if status != owner.get("status"):
            self.registry.replace(CRON_JOB, {**owner, "status": status}, "status")

    def _note_ended(self, owner: Obj, jobs: list[Obj], status: Obj) -> None:
        by_uid = {uid_of(job): job for job in jobs}
        active = []
        for entry in status.get("active") or ():
            job = by_uid.get(entry["uid"])
            if job is None:
                self._recorder.event(owner, "Normal", "MissingJob", f"Active job went missing: {entry['name']}")
            elif is_over(job):
                how = "Complete" if is_true(job, "Complete") else "Failed"
                self._recorder.event(owner, "Normal", "SawCompletedJob", f"Saw completed job: {entry['name']}, condition: {how}")
                if how == "Complete":
                    status["lastSuccessfulTime"] = max(status.get("lastSuccessfulTime", ""), job["status"].get("completionTime", ""))
            else:
                active.append(entry)
        status["active"] = active

    # -- what is due

    def _run_due(self, owner: Obj, jobs: list[Obj], status: Obj) -> None:
        now = self.clock.now()
        due, following = self._due(owner, status, now)
        self.queue.add_after(key_of(owner), ((following - now).total_seconds() + 0.01) * self.clock.speed)
        if due is None:
            return
        deadline = owner["spec"].get("startingDeadlineSeconds")
        if deadline is not None and due + timedelta(seconds=deadline) < now:
            self._recorder.event(owner, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {due:%a, %d %b %Y %H:%M:%S +0000}")
            return
        policy = owner["spec"].get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and status["active"]:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._recorder.event(owner, "Normal", "JobAlreadyActive", text)
            return
        if policy == "Replace":
            running = {entry["uid"] for entry in status["active"]}
            for job in jobs:
                if uid_of(job) in running:
                    self._delete(owner, job)
            status["active"] = []
        self._start(owner, due, status)

    def _due(self, owner: Obj, status: Obj, now: datetime) -> tuple[datetime | None, datetime]:
        """The latest time that has come since the last run, if any, and the next one to come."""
        since = moment(status.get("lastScheduleTime") or owner["metadata"]["creationTimestamp"])
        if (deadline := owner["spec"].get("startingDeadlineSeconds")) is not None:
            since = max(since, now - timedelta(seconds=deadline))
        due, missed = None, 0
        for time in times(owner, since):
            if time > now:
                return due, time
            due, missed = time, missed + 1
            if missed == _TOO_MANY:
                text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
                self._recorder.event(owner, "Warning", "TooManyMissedTimes", text)
                since = now - timedelta(minutes=1)
                return next((one for one in times(owner, since) if one <= now), due), next(times(owner, now))
        return due, now + timedelta(days=1)

    def _start(self, owner: Obj, due: datetime, status: Obj) -> None:
        template, namespace = owner["spec"]["jobTemplate"], owner["metadata"]["namespace"]
        meta = template.get("metadata") or {}
        body = {
            "metadata": {
                "name": f"{owner['metadata']['name']}-{int(due.timestamp()) // 60}",
                **({"labels": meta["labels"]} if meta.get("labels") else {}),
                "annotations": {**(meta.get("annotations") or {}), SCHEDULED: timestamp(due)},
                "ownerReferences": [controller_reference(CRON_JOB, owner)],
            },
            "spec": template["spec"],
        }
        try:
            job = self.registry.create(JOB, body, namespace)
        except ApiError as error:
            if error.code != 409:
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating job: {error.message}")
                raise
            return
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created job {job['metadata']['name']}")
        status["active"] = [*status["active"], reference(job)]
        status["lastScheduleTime"] = timestamp(due)

    # -- history

    def _forget_old(self, owner: Obj, jobs: list[Obj]) -> None:
        for kind, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            most = owner["spec"].get(limit)
            ended = sorted((job for job in jobs if is_true(job, kind)), key=lambda job: (job["status"].get("startTime", ""), job["metadata"]["name"]))
            for job in ended[: max(0, len(ended) - most)] if most is not None else ():
                self._delete(owner, job)

    def _delete(self, owner: Obj, job: Obj) -> None:
        self.registry.delete(JOB, *key_of(job), DeleteOptions(propagation="Background"))
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")
