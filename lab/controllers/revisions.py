"""What a deployment and its replica sets know of each other: template hash, revisions, annotations, sizes. Pure functions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from lab.controllers.objects import uid_of

Obj = dict[str, Any]

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAXIMUM, "deprecated.deployment.rollback.to",
}  # fmt: skip
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: Obj, collisions: int | None) -> str:
    """A name for a pod template: FNV-1a over it (the real one hashes Go's memory layout), in letters that make no words."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    if collisions is not None:
        text += str(collisions)
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(value))


def same_template(first: Obj, second: Obj) -> bool:
    """Whether two pod templates ask for the same, apart from the hash label."""
    return _without_hash(first) == _without_hash(second)


def _without_hash(template: Obj) -> Obj:
    meta = template.get("metadata") or {}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH_LABEL}
    rest = {key: value for key, value in meta.items() if key not in ("labels", "creationTimestamp") and value}
    return {"spec": template.get("spec"), "metadata": rest, "labels": labels}


def notes_of(obj: Obj) -> Obj:
    """An object's annotations, for reading."""
    return obj["metadata"].get("annotations") or {}


def revision(replica_set: Obj) -> int:
    """Which revision of its deployment a replica set is; 0 when it does not say."""
    return _integer(notes_of(replica_set).get(REVISION))


def _integer(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0


def find_new(deployment: Obj, replica_sets: Iterable[Obj]) -> Obj | None:
    """The replica set with the deployment's present template; the oldest when there are several."""
    for replica_set in sorted(replica_sets, key=_age):
        if same_template(replica_set["spec"]["template"], deployment["spec"]["template"]):
            return replica_set
    return None


def find_old(replica_sets: Iterable[Obj], new: Obj | None) -> list[Obj]:
    """All others, oldest first."""
    return [one for one in sorted(replica_sets, key=_age) if new is None or uid_of(one) != uid_of(new)]


def _age(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("creationTimestamp", ""), obj["metadata"]["name"]


def wanted(obj: Obj) -> int:
    """spec.replicas."""
    return int(obj["spec"].get("replicas", 1))


def active(replica_sets: Iterable[Obj]) -> list[Obj]:
    """Those that ask for pods."""
    return [one for one in replica_sets if wanted(one) > 0]


def total_wanted(replica_sets: Iterable[Obj]) -> int:
    """How many pods they ask for together."""
    return sum(wanted(one) for one in replica_sets)


def total(replica_sets: Iterable[Obj], field: str) -> int:
    """The sum of a status field."""
    return sum(int(one.get("status", {}).get(field, 0)) for one in replica_sets)


def is_rolling(deployment: Obj) -> bool:
    """Whether the strategy is RollingUpdate."""
    return str(deployment["spec"].get("strategy", {}).get("type", "RollingUpdate")) == "RollingUpdate"


def _scaled(value: Any, of: int, up: bool) -> int:
    """An absolute number, or a percentage of something rounded up or down."""
    if isinstance(value, str):
        share = of * int(value.rstrip("%")) / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value or 0)


def _fence_posts(deployment: Obj) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers; they cannot both be 0, or nothing would ever move."""
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
    surge = _scaled(rolling.get("maxSurge", "25%"), wanted(deployment), up=True)
    unavailable = _scaled(rolling.get("maxUnavailable", "25%"), wanted(deployment), up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def max_surge(deployment: Obj) -> int:
    """How many pods there may be above the wanted number."""
    if not is_rolling(deployment):
        return 0
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
    return _scaled(rolling.get("maxSurge", "25%"), wanted(deployment), up=True)


def max_unavailable(deployment: Obj) -> int:
    """How many pods may be missing from the wanted number."""
    if not is_rolling(deployment) or wanted(deployment) == 0:
        return 0
    return min(_fence_posts(deployment)[1], wanted(deployment))


def size_of_new(deployment: Obj, all_sets: list[Obj], new: Obj) -> int:
    """How large the new replica set may be now."""
    if not is_rolling(deployment):
        return wanted(deployment)
    present, allowed = total_wanted(all_sets), wanted(deployment) + max_surge(deployment)
    if present >= allowed:
        return wanted(new)
    return wanted(new) + min(allowed - present, wanted(deployment) - wanted(new))


def set_size_annotations(deployment: Obj, replica_set: Obj) -> bool:
    """Note on a replica set how large the deployment is; says whether that changed anything."""
    sizes = {DESIRED: str(wanted(deployment)), MAXIMUM: str(wanted(deployment) + max_surge(deployment))}
    if sizes.items() <= notes_of(replica_set).items():
        return False
    replica_set["metadata"].setdefault("annotations", {}).update(sizes)
    return True


def set_annotations(deployment: Obj, replica_set: Obj, number: int, exists: bool) -> bool:
    """Copy the deployment's annotations to its new replica set and give it the next revision; says whether that changed anything."""
    before = dict(notes_of(replica_set))
    after = replica_set["metadata"].setdefault("annotations", {})
    after.update({key: value for key, value in notes_of(deployment).items() if key not in _NOT_COPIED})
    if _integer(before.get(REVISION)) < number:
        after[REVISION] = str(number)
        if REVISION in before:  # rolled back to: keep what it was
            after[HISTORY] = ",".join(filter(None, (before.get(HISTORY), before[REVISION])))
    if not exists:
        set_size_annotations(deployment, replica_set)
    return bool(after != before)


def share_of_change(deployment: Obj, replica_set: Obj, to_add: int, added: int) -> int:
    """How much of a change of size falls to one replica set while several have pods."""
    if wanted(replica_set) == 0 or to_add in (0, added):
        return 0
    if wanted(deployment) == 0:
        part = -wanted(replica_set)
    else:
        before = _integer(notes_of(replica_set).get(MAXIMUM)) or int(deployment.get("status", {}).get("replicas", 0))
        if not before:
            return 0
        part = _round(wanted(replica_set) * (wanted(deployment) + max_surge(deployment)) / before) - wanted(replica_set)
    left = to_add - added
    return min(part, left) if to_add > 0 else max(part, left)


def _round(value: float) -> int:
    """Halves away from zero, as Go does."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)
