"""The pods that jobs make, and what a job asks about them. Pure functions."""

from __future__ import annotations

from typing import Any

from lab.controllers.job_indexes import FAILURES, IGNORED_FAILURES, INDEX, failures_of, ignored_failures_of
from lab.controllers.job_policies import match_failure
from lab.controllers.objects import controller_reference, is_deleting
from lab.kubernetes.kinds import JOB

Obj = dict[str, Any]

TRACKING = "batch.kubernetes.io/job-tracking"
_ENV = "JOB_COMPLETION_INDEX"
_LONGEST_PREFIX = 63 - 5 - len("-") * 2  # of a made-up name, so that the index stays readable


def is_tracked(pod: Obj) -> bool:
    """Whether the pod still waits to be counted."""
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def replaces_only_failed(job: Obj) -> bool:
    """Whether a pod on its way out is replaced only when it has ended."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def has_failed(job: Obj, pod: Obj) -> bool:
    """Whether the pod counts as failed; one on its way out does, unless only ended ones are replaced."""
    phase = pod.get("status", {}).get("phase")
    if phase == "Failed":
        return True
    return not replaces_only_failed(job) and is_deleting(pod) and phase != "Succeeded"


def has_failed_index(job: Obj, pod: Obj) -> bool:
    """Whether a failed pod's index has failed for good."""
    match = match_failure(job, pod)
    return match.action == "FailIndex" or (match.counts and failures_of(pod) >= job["spec"]["backoffLimitPerIndex"])


def restarts(pod: Obj) -> int:
    """How often containers of the pod were started again."""
    status = pod.get("status", {})
    return sum(one.get("restartCount", 0) for key in ("containerStatuses", "initContainerStatuses") for one in status.get(key) or ())


def past_restarts(job: Obj, pods: list[Obj]) -> bool:
    """Whether containers that are restarted in place have used up the back-off limit."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    total = sum(restarts(pod) for pod in pods if pod["status"].get("phase") in ("Pending", "Running"))
    limit = job["spec"]["backoffLimit"]
    return bool(total > 0 if limit == 0 else total >= limit)


def new_pod(job: Obj, index: int | None, last: Obj | None) -> Obj:
    """A pod of the job, for an index if it is Indexed; `last` is the failed pod that it replaces, if failures are counted by index."""
    template, name = job["spec"]["template"], job["metadata"]["name"]
    meta = template.get("metadata") or {}
    labels, notes = dict(meta.get("labels") or {}), dict(meta.get("annotations") or {})
    spec, prefix = dict(template["spec"]), f"{name}-"
    if index is not None:
        labels[INDEX] = notes[INDEX] = str(index)
        spec["hostname"] = f"{name}-{index}"
        spec.update({key: [_with_index(one) for one in spec[key]] for key in ("containers", "initContainers") if spec.get(key)})
        prefix = f"{name[: _LONGEST_PREFIX - len(str(index))]}-{index}-"
        if job["spec"].get("backoffLimitPerIndex") is not None:
            notes.update(_failure_counts(job, last))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": prefix,
            "labels": labels,
            **({"annotations": notes} if notes else {}),
            "finalizers": [*(meta.get("finalizers") or ()), TRACKING],
            "ownerReferences": [controller_reference(JOB, job)],
        },
        "spec": spec,
    }


def _with_index(container: Obj) -> Obj:
    env = container.get("env") or []
    if any(one["name"] == _ENV for one in env):
        return container
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    return {**container, "env": [*env, {"name": _ENV, "valueFrom": source}]}


def _failure_counts(job: Obj, last: Obj | None) -> dict[str, str]:
    if last is None:
        return {FAILURES: "0"}
    counts = match_failure(job, last).counts
    failures, ignored = failures_of(last) + counts, ignored_failures_of(last) + (not counts)
    return {FAILURES: str(failures), **({IGNORED_FAILURES: str(ignored)} if ignored else {})}
