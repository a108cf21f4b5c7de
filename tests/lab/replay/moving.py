"""Whether a recorded answer shows something in the middle of a change: then another run shows another moment of it."""

from __future__ import annotations

import re
from typing import Any

Json = Any
CHANGING = re.compile(r"(body|watch\[.*?\])(\.items\[.*?\])?\.(status|metadata\.(resourceVersion|annotations|finalizers|deletion\w+|generation))\b.*")
# Which Pods a list of Pods has, and how far a ReplicaSet is scaled, is part of a rollout too.
AMONG_MANY = re.compile(r"body\.items(\[.*?\](\.spec\.replicas|\.spec\.nodeName)?|\[number of items\])")
ENDED = ("Complete", "Failed", "SuccessCriteriaMet")


def moving(recorded: Json, where: str) -> bool:
    """Whether this place of a recorded object or list belongs to a change under way."""
    if not isinstance(recorded, dict):
        return False
    if isinstance(recorded.get("items"), list):
        kind = str(recorded.get("kind", "")).removesuffix("List")
        allowed = CHANGING.fullmatch(where) or (kind in ("Pod", "ReplicaSet") and AMONG_MANY.fullmatch(where))
        return bool(allowed) and any(_moves(kind, item) for item in recorded["items"])
    return CHANGING.fullmatch(where) is not None and _moves(str(recorded.get("kind", "")), recorded)


def _moves(kind: str, thing: dict[str, Any]) -> bool:
    status, spec, meta = thing.get("status") or {}, thing.get("spec") or {}, thing.get("metadata") or {}
    if "deletionTimestamp" in meta:
        return True
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    if kind == "Deployment":
        counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")}
        behind = status.get("observedGeneration") != meta.get("generation") or status.get("terminatingReplicas")
        return bool(behind) or counts != {spec.get("replicas", 0)}
    if kind == "ReplicaSet":
        counts = {status.get(key, 0) for key in ("replicas", "readyReplicas", "availableReplicas")}
        return counts != {spec.get("replicas", 0)} or bool(status.get("terminatingReplicas"))
    if kind == "Pod":
        return status.get("phase") == "Pending" or (status.get("phase") == "Running" and conditions.get("Ready") != "True")
    if kind == "Job":
        return not any(conditions.get(one) == "True" for one in ENDED[:2]) or bool(status.get("uncountedTerminatedPods"))
    return kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget", "Scale")
