"""What a deployment says of its progress. Pure functions."""

from __future__ import annotations

from typing import Any

from lab.controllers.objects import condition
from lab.controllers.revisions import max_unavailable, total, total_wanted, wanted

Obj = dict[str, Any]

NO_DEADLINE = 2**31 - 1


def new_condition(kind: str, status: str, reason: str, message: str, now: str) -> Obj:
    """A condition of a deployment, as of now."""
    return {"type": kind, "status": status, "lastUpdateTime": now, "lastTransitionTime": now, "reason": reason, "message": message}


def set_condition(status: Obj, new: Obj) -> None:
    """Put a condition at the end of the list, in place of the one before; one that says nothing new changes nothing."""
    old = condition({"status": status}, new["type"])
    if old and old["status"] == new["status"] and old["reason"] == new["reason"]:
        return
    if old and old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    remove_condition(status, new["type"])
    status.setdefault("conditions", []).append(new)


def remove_condition(status: Obj, kind: str) -> None:
    """Take a condition out."""
    if "conditions" in status:
        status["conditions"] = [one for one in status["conditions"] if one["type"] != kind]


def has_deadline(deployment: Obj) -> bool:
    """Whether a lack of progress is ever reported."""
    return bool(deployment["spec"].get("progressDeadlineSeconds", NO_DEADLINE) != NO_DEADLINE)


def calculate(deployment: Obj, all_sets: list[Obj], new: Obj | None, now: str) -> Obj:
    """The status as the replica sets have it now, with the conditions as they were but for Available."""
    available = total(all_sets, "availableReplicas")
    counts = {
        "replicas": total(all_sets, "replicas"),
        "updatedReplicas": total([new] if new else [], "replicas"),
        "readyReplicas": total(all_sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total_wanted(all_sets) - available),
    }
    status: Obj = {"observedGeneration": deployment["metadata"]["generation"], **{name: number for name, number in counts.items() if number}}
    # A replica set that its controller has not looked at yet counts as having none.
    if all("terminatingReplicas" in one.get("status", {}) for one in all_sets if one.get("status", {}).get("observedGeneration")):
        status["terminatingReplicas"] = total(all_sets, "terminatingReplicas")
    before = deployment.get("status", {})
    status["conditions"] = list(before.get("conditions") or ())
    if "collisionCount" in before:
        status["collisionCount"] = before["collisionCount"]
    enough = available >= wanted(deployment) - max_unavailable(deployment)
    set_condition(
        status,
        new_condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
        if enough
        else new_condition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now),
    )
    return status


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Whether all wanted pods are of the new replica set and available, and no others are left."""
    size = wanted(deployment)
    counts = [status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas")]
    return counts == [size, size, size] and status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]


def has_progressed(deployment: Obj, status: Obj) -> bool:
    """Whether a new status is nearer to the goal than the one that stands."""
    before = deployment.get("status", {})
    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    old_now = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    grown = any(status.get(name, 0) > before.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    return bool(grown or old_now < old_before)


def set_progress(deployment: Obj, status: Obj, new: Obj | None, timed_out: bool, now: str) -> None:
    """Bring the Progressing condition of a new status up to date."""
    if not has_deadline(deployment):
        remove_condition(status, "Progressing")
        return
    current = condition(deployment, "Progressing")
    done = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if done and current and current["reason"] == "NewReplicaSetAvailable":
        return
    what = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    if is_complete(deployment, status):
        set_condition(status, new_condition("Progressing", "True", "NewReplicaSetAvailable", f"{what} has successfully progressed.", now))
    elif has_progressed(deployment, status):
        fresh = new_condition("Progressing", "True", "ReplicaSetUpdated", f"{what} is progressing.", now)
        if current and current["status"] == "True":
            fresh["lastTransitionTime"] = current["lastTransitionTime"]
        remove_condition(status, "Progressing")  # so that the time of the last progress is noted even if nothing else changes
        set_condition(status, fresh)
    elif timed_out:
        set_condition(status, new_condition("Progressing", "False", "ProgressDeadlineExceeded", f"{what} has timed out progressing.", now))


def set_replica_failure(status: Obj, all_sets: list[Obj], new: Obj | None) -> None:
    """Show what keeps a replica set from making pods; the new one's trouble comes first."""
    found = [one for one in (condition(some, "ReplicaFailure") for some in ([new] if new else []) + all_sets) if one]
    if not found:
        remove_condition(status, "ReplicaFailure")
        return
    failure = found[0]
    set_condition(status, new_condition("ReplicaFailure", failure["status"], failure["reason"], failure["message"], failure["lastTransitionTime"]))
