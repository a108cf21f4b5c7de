"""Jobs: how many pods, what is counted, why a job ends."""

from __future__ import annotations

from typing import Any

import pytest

from lab.controllers.job_indexes import INDEX, parsed, pending, text_of
from lab.controllers.job_policies import match_failure, match_success
from lab.controllers.job_timing import Backoff, EndTimes, delay
from lab.kubernetes.kinds import JOB
from lab.kubernetes.registry import DeleteOptions
from tests.lab.controllers.ending import end, running
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]

POD_SPEC: Obj = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": "busybox"}]}


def make(lab: Cluster, name: str = "work", pod: Obj | None = None, **spec: Any) -> Obj:
    return lab.registry.create(JOB, {"metadata": {"name": name}, "spec": {"template": {"spec": {**POD_SPEC, **(pod or {})}}, **spec}}, "demo")


def status(lab: Cluster, name: str = "work") -> Obj:
    found: Obj = lab.registry.get(JOB, "demo", name).get("status", {})
    return found


def conditions(lab: Cluster, name: str = "work") -> dict[str, str]:
    return {one["type"]: one["reason"] for one in status(lab, name).get("conditions", []) if one["status"] == "True"}


def index(pod: Obj) -> int:
    return int(pod["metadata"]["annotations"][INDEX])


@pytest.mark.parametrize(
    ("indexes", "text"), [([], ""), ([3], "3"), ([0, 1], "0,1"), ([0, 1, 2], "0-2"), ([7, 0, 2, 3, 4, 8], "0,2-4,7,8")]
)  # fmt: skip
def test_indexes_as_text_and_back(indexes: list[int], text: str) -> None:
    assert text_of(indexes) == text
    assert parsed(text, 100) == set(indexes)
    assert parsed(text, 3) == {one for one in indexes if one < 3}


def test_the_first_indexes_that_nobody_has_are_next() -> None:
    assert pending(6, {0, 2}, 3) == [1, 3, 4]
    assert pending(3, {0, 1, 2}, 3) == []


def test_delays_double_up_to_ten_minutes() -> None:
    assert [delay(failures) for failures in (0, 1, 2, 3, 7, 60)] == [0, 10, 20, 40, 600, 600]


def test_a_success_begins_the_count_of_failures_again() -> None:
    class Told(EndTimes):
        def __init__(self) -> None:
            pass

        def of(self, pod: Obj) -> float:
            return float(pod["at"])

    backoff = Backoff(3, 5.0).after([{"at": 10}], [{"at": 8}, {"at": 12}], Told())
    assert backoff == Backoff(1, 12.0)
    assert backoff.remaining(15.0) == 7.0
    assert Backoff(1, 5.0).after([], [{"at": 9}], Told()) == Backoff(2, 9.0)


def test_the_first_rule_that_matches_a_failed_pod_decides() -> None:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "FailIndex", "onExitCodes": {"containerName": "side", "operator": "NotIn", "values": [1]}},
    ]
    job = {"spec": {"podFailurePolicy": {"rules": rules}}}

    def pod(code: int, container: str = "main", **more: Any) -> Obj:
        state = {"name": container, "state": {"terminated": {"exitCode": code}}}
        return {"metadata": {"namespace": "n", "name": "p"}, "status": {"containerStatuses": [state], **more}}

    evicted = pod(42, conditions=[{"type": "DisruptionTarget", "status": "True"}])
    assert match_failure(job, evicted).action == "Ignore"
    assert match_failure(job, pod(42)) == ("FailJob", "Container main for pod n/p failed with exit code 42 matching FailJob rule at index 1")
    assert match_failure(job, pod(2, "side")).action == "FailIndex"
    assert match_failure(job, pod(1, "side")).action is None
    assert not match_failure(job, evicted).counts and match_failure(job, pod(1)).counts


def test_a_success_policy_counts_among_the_indexes_that_it_names() -> None:
    job = {"spec": {"completions": 10, "successPolicy": {"rules": [{"succeededIndexes": "0,5-6", "succeededCount": 2}, {"succeededCount": 4}]}}}
    assert match_success(job, {0, 1, 2}) is None
    assert match_success(job, {0, 6}) == "Matched rules at index 0"
    assert match_success(job, {1, 2, 3, 4}) == "Matched rules at index 1"


async def test_a_job_runs_so_many_at_once_until_enough_have_succeeded() -> None:
    async with cluster() as lab:
        make(lab, completions=3, parallelism=2)
        await lab.until(lambda: len(running(lab)) == 2)
        for pod in running(lab):
            end(lab, pod)
        await lab.until(lambda: len(running(lab)) == 1 and status(lab).get("succeeded") == 2)
        end(lab, running(lab)[0])
        await lab.until(lambda: "Complete" in conditions(lab))
        assert status(lab)["succeeded"] == 3 and status(lab)["uncountedTerminatedPods"] == {} and "active" not in status(lab)
        assert conditions(lab) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
        assert all("finalizers" not in pod["metadata"] for pod in lab.pods())


async def test_a_work_queue_starts_no_more_once_one_has_succeeded() -> None:
    async with cluster() as lab:
        make(lab, parallelism=3)
        await lab.until(lambda: len(running(lab)) == 3)
        first, second, third = running(lab)
        end(lab, first)
        await lab.until(lambda: status(lab).get("succeeded") == 1)
        assert len(lab.pods()) == 3 and "Complete" not in conditions(lab)
        end(lab, second)
        end(lab, third)
        await lab.until(lambda: "Complete" in conditions(lab))


async def test_failures_beyond_the_limit_end_a_job_and_stop_what_still_runs() -> None:
    async with cluster() as lab:
        make(lab, completions=2, parallelism=2, backoffLimit=0)
        await lab.until(lambda: len(running(lab)) == 2)
        end(lab, running(lab)[0], 1)
        await lab.until(lambda: "Failed" in conditions(lab))
        assert conditions(lab)["FailureTarget"] == conditions(lab)["Failed"] == "BackoffLimitExceeded"
        assert status(lab)["failed"] == 2 and not running(lab) and "completionTime" not in status(lab)


async def test_each_index_fails_for_itself() -> None:
    async with cluster() as lab:
        make(lab, completionMode="Indexed", completions=3, parallelism=3, backoffLimitPerIndex=1)
        await lab.until(lambda: len(running(lab)) == 3)
        zero, one, two = running(lab)
        assert [index(pod) for pod in (zero, one, two)] == [0, 1, 2]
        assert one["spec"]["hostname"] == "work-1" and one["metadata"]["name"].startswith("work-1-")
        assert one["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
        end(lab, zero)
        end(lab, one, 1)
        end(lab, two)
        await lab.until(lambda: [index(pod) for pod in running(lab)] == [1])
        again = running(lab)[0]
        assert again["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "1"
        assert status(lab)["failedIndexes"] == "" and status(lab)["completedIndexes"] == "0,2"
        end(lab, again, 1)
        await lab.until(lambda: "Failed" in conditions(lab))
        assert conditions(lab)["Failed"] == "FailedIndexes" and status(lab)["failedIndexes"] == "1" and status(lab)["failed"] == 2


async def test_a_suspended_job_has_no_pods_and_starts_anew() -> None:
    async with cluster() as lab:
        make(lab, suspend=True)
        await lab.until(lambda: conditions(lab).get("Suspended") == "JobSuspended")
        assert not lab.pods() and "startTime" not in status(lab)
        lab.registry.modify(JOB, "demo", "work", lambda job: job["spec"].update(suspend=False))
        await lab.until(lambda: len(running(lab)) == 1)
        lab.registry.modify(JOB, "demo", "work", lambda job: job["spec"].update(suspend=True))
        await lab.until(lambda: not lab.pods() and status(lab).get("terminating") == 0 and "startTime" not in status(lab))
        assert "failed" not in status(lab)


async def test_a_deadline_ends_a_job() -> None:
    async with cluster() as lab:
        make(lab, activeDeadlineSeconds=5)
        await lab.until(lambda: "Failed" in conditions(lab))
        assert conditions(lab)["Failed"] == "DeadlineExceeded" and not running(lab)


async def test_a_finished_job_goes_with_its_pods_when_its_time_is_up() -> None:
    async with cluster() as lab:
        make(lab, ttlSecondsAfterFinished=2)
        await lab.until(lambda: len(running(lab)) == 1)
        end(lab, running(lab)[0])
        await lab.until(lambda: not lab.registry.list(JOB, "demo") and not lab.pods())


async def test_pods_of_a_deleted_job_do_not_wait_to_be_counted() -> None:
    async with cluster() as lab:
        make(lab)
        await lab.until(lambda: len(running(lab)) == 1)
        lab.registry.delete(JOB, "demo", "work", DeleteOptions(propagation="Background"))
        await lab.until(lambda: not lab.pods())


async def test_fewer_indexes_are_wanted_and_the_others_go_uncounted() -> None:
    async with cluster() as lab:
        make(lab, completionMode="Indexed", completions=3, parallelism=3)
        await lab.until(lambda: len(running(lab)) == 3)
        lab.registry.modify(JOB, "demo", "work", lambda job: job["spec"].update(completions=1, parallelism=1))
        await lab.until(lambda: len(lab.pods()) == 1)
        assert index(lab.pods()[0]) == 0
        end(lab, lab.pods()[0])
        await lab.until(lambda: "Complete" in conditions(lab))
        assert status(lab)["completedIndexes"] == "0" and "failed" not in status(lab)


async def test_hundreds_of_indexes_are_each_counted_once() -> None:
    async with cluster(nodes=8) as lab:
        make(lab, completionMode="Indexed", completions=300, parallelism=100)

        def finish_all() -> bool:
            for pod in running(lab):
                end(lab, pod)
            return "Complete" in conditions(lab)

        await lab.until(finish_all)
        assert status(lab)["succeeded"] == 300 and status(lab)["completedIndexes"] == "0-299"
        assert len(lab.pods()) == 300
