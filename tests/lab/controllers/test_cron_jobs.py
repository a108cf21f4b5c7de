"""Cron jobs: times, concurrency, history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.clock import timestamp
from lab.controllers.cron_jobs import SCHEDULED, times
from lab.kubernetes.kinds import CRON_JOB, EVENT, JOB
from tests.lab.controllers.ending import end, running
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]

TEMPLATE: Obj = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}}}}


def make(lab: Cluster, minutes_ago: int = 1, **spec: Any) -> Obj:
    """A cron job of every minute, the last run of which was so many minutes ago."""
    owner = lab.registry.create(CRON_JOB, {"metadata": {"name": "tick"}, "spec": {"schedule": "* * * * *", "jobTemplate": TEMPLATE, **spec}}, "demo")
    ran(lab, minutes_ago)
    return owner


def ran(lab: Cluster, minutes_ago: int) -> None:
    when = timestamp(datetime.now(UTC) - timedelta(minutes=minutes_ago))
    lab.registry.modify(CRON_JOB, "demo", "tick", lambda one: one.setdefault("status", {}).update(lastScheduleTime=when), "status")


def jobs(lab: Cluster) -> list[str]:
    return [job["metadata"]["name"] for job in lab.registry.list(JOB, "demo")]


def status(lab: Cluster) -> Obj:
    found: Obj = lab.registry.get(CRON_JOB, "demo", "tick").get("status", {})
    return found


def reasons(lab: Cluster) -> set[str]:
    return {event["reason"] for event in lab.registry.list(EVENT, "demo") if event["involvedObject"]["kind"] == "CronJob"}


@pytest.mark.parametrize(
    ("schedule", "zone", "wanted"),
    [
        ("*/15 * * * *", None, "2026-03-01T10:15:00Z"),
        ("@daily", None, "2026-03-02T00:00:00Z"),
        ("0 9 * * MON", None, "2026-03-02T09:00:00Z"),
        ("0 12 ? * *", "Europe/Berlin", "2026-03-01T11:00:00Z"),
    ],
)
def test_schedules_and_time_zones(schedule: str, zone: str | None, wanted: str) -> None:
    spec = {"schedule": schedule, **({"timeZone": zone} if zone else {})}
    assert timestamp(next(times({"spec": spec}, datetime(2026, 3, 1, 10, 7, tzinfo=UTC)))) == wanted


async def test_a_job_is_made_for_the_latest_time_that_has_come() -> None:
    async with cluster() as lab:
        make(lab, minutes_ago=3)
        await lab.until(lambda: len(jobs(lab)) == 1)
        job = lab.registry.get(JOB, "demo", jobs(lab)[0])
        due = datetime.fromisoformat(job["metadata"]["annotations"][SCHEDULED])
        assert job["metadata"]["name"] == f"tick-{int(due.timestamp()) // 60}" and due.second == 0
        await lab.until(lambda: [one["name"] for one in status(lab).get("active", [])] == jobs(lab))
        assert status(lab)["lastScheduleTime"] == timestamp(due)
        await lab.until(lambda: len(running(lab)) == 1)
        end(lab, running(lab)[0])
        await lab.until(lambda: "active" not in status(lab) and "lastSuccessfulTime" in status(lab))


async def test_forbid_starts_none_beside_one_that_runs_and_replace_takes_its_place() -> None:
    async with cluster() as lab:
        make(lab, minutes_ago=5, concurrencyPolicy="Forbid")
        await lab.until(lambda: len(jobs(lab)) == 1 and status(lab).get("active"))
        first = lab.registry.get(JOB, "demo", jobs(lab)[0])["metadata"]["uid"]
        ran(lab, 4)
        await lab.until(lambda: "JobAlreadyActive" in reasons(lab))
        assert len(jobs(lab)) == 1
        lab.registry.modify(CRON_JOB, "demo", "tick", lambda one: one["spec"].update(concurrencyPolicy="Replace"))
        await lab.until(lambda: [job["metadata"]["uid"] for job in lab.registry.list(JOB, "demo")] not in ([], [first]))


async def test_old_jobs_are_forgotten() -> None:
    async with cluster() as lab:
        owner = make(lab, minutes_ago=0, suspend=True, successfulJobsHistoryLimit=1)
        reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": owner["metadata"]["uid"], "controller": True}
        for number in range(3):
            lab.registry.create(JOB, {"metadata": {"name": f"tick-{number}", "ownerReferences": [reference]}, **TEMPLATE}, "demo")
        await lab.until(lambda: len(running(lab)) == 3)
        for pod in running(lab):
            end(lab, pod)
        await lab.until(lambda: len(jobs(lab)) == 1)


async def test_a_suspended_cron_job_and_one_too_late_make_nothing() -> None:
    async with cluster() as lab:
        make(lab, minutes_ago=3, suspend=True)
        await lab.settle()
        assert jobs(lab) == []
