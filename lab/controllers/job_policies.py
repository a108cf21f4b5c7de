"""Why a job ends: its conditions, its pod failure policy and its success policy. Pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple

from lab.controllers.job_indexes import parsed
from lab.controllers.objects import condition

Obj = dict[str, Any]

SUSPENDED, SUCCESS, COMPLETE, FAILURE, FAILED = "Suspended", "SuccessCriteriaMet", "Complete", "FailureTarget", "Failed"
_FINAL = {SUCCESS: COMPLETE, FAILURE: FAILED}


class Match(NamedTuple):
    """What a failure policy says of a failed pod."""

    action: str | None = None  # Ignore, FailIndex, Count, FailJob; None: no rule matches
    message: str = ""

    @property
    def counts(self) -> bool:
        """Whether the failure counts towards the back-off limit."""
        return self.action != "Ignore"


def new_condition(kind: str, reason: str, message: str, now: str, status: str = "True") -> Obj:
    """A condition of a job."""
    return {"type": kind, "status": status, "lastProbeTime": now, "lastTransitionTime": now, "reason": reason, "message": message}


def is_true(job: Obj, kind: str) -> bool:
    """Whether a job has this condition."""
    return (condition(job, kind) or {}).get("status") == "True"


def is_over(job: Obj) -> bool:
    """Whether a job is complete or failed, for good."""
    return is_true(job, COMPLETE) or is_true(job, FAILED)


def final(interim: Obj, now: str) -> Obj:
    """The last condition that follows an interim one once no pod is left."""
    return new_condition(_FINAL[interim["type"]], interim.get("reason", ""), interim.get("message", ""), now)


def match_failure(job: Obj, pod: Obj) -> Match:
    """The first rule of the pod failure policy that matches a failed pod."""
    for at, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        why = _by_exit_code(pod, rule["onExitCodes"]) if rule.get("onExitCodes") else _by_condition(pod, rule.get("onPodConditions") or ())
        if why:
            return Match(rule["action"], f"{why} matching {rule['action']} rule at index {at}")
    return Match()


def _by_exit_code(pod: Obj, wanted: Obj) -> str:
    status = pod.get("status", {})
    for one in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        ended = one.get("state", {}).get("terminated")
        if not ended or not ended.get("exitCode") or wanted.get("containerName", one["name"]) != one["name"]:
            continue
        if (ended["exitCode"] in wanted["values"]) == (wanted["operator"] == "In"):
            return f"Container {one['name']} for pod {_name(pod)} failed with exit code {ended['exitCode']}"
    return ""


def _by_condition(pod: Obj, patterns: Any) -> str:
    for pattern in patterns:
        found = condition(pod, pattern["type"])
        if found and found["status"] == pattern.get("status", "True"):
            return f"Pod {_name(pod)} has condition {pattern['type']}"
    return ""


def _name(pod: Obj) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def match_success(job: Obj, completed: set[int]) -> str | None:
    """Which rule of the success policy is fulfilled, as a message."""
    for at, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        wanted, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        if wanted is None:
            met = count is not None and len(completed) >= count
        else:
            among = parsed(wanted, job["spec"]["completions"])
            met = len(among & completed) >= (len(among) if count is None else count)
        if met:
            return f"Matched rules at index {at}"
    return None
