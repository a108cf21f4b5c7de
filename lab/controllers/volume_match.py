"""Which volume suits which claim. Pure functions, used by the volume controller and the scheduler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.controllers.node_match import matches_node_selector
from lab.controllers.objects import is_deleting
from lab.kubernetes.quantity import parse
from lab.kubernetes.selectors import labels_of, match_selector

Obj = dict[str, Any]

_COMPLETED = "pv.kubernetes.io/bind-completed"


def is_bound(claim: Obj) -> bool:
    """Whether a claim was tied to a volume, for good."""
    return bool(claim["spec"].get("volumeName")) and _COMPLETED in (claim["metadata"].get("annotations") or {})


def claims_of(pod: Obj) -> list[str]:
    """Names of the claims that a pod mounts, those made for it (ephemeral) included."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return names


def volume_for(volume: Obj, claim: Obj) -> bool:
    """Whether a volume has what a claim asks for, and is free or kept for it."""
    spec, wish, meta = volume["spec"], claim["spec"], claim["metadata"]
    if is_deleting(volume) or not _is_kept_for(spec.get("claimRef"), meta):
        return False
    if spec.get("storageClassName", "") != wish.get("storageClassName", ""):
        return False
    if spec.get("volumeMode", "Filesystem") != wish.get("volumeMode", "Filesystem"):
        return False
    if not set(wish.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    if "selector" in wish and not match_selector(wish["selector"])(labels_of(volume)):
        return False
    return bool(parse(spec["capacity"]["storage"]) >= parse(wish["resources"]["requests"]["storage"]))


def _is_kept_for(reference: Obj | None, meta: Obj) -> bool:
    if not reference:
        return True
    same = reference.get("namespace") == meta["namespace"] and reference.get("name") == meta["name"]
    return bool(same and reference.get("uid", meta["uid"]) in ("", meta["uid"]))


def best_volume(volumes: Iterable[Obj], claim: Obj, node: Obj | None = None) -> Obj | None:
    """The volume kept for a claim, else the smallest that is large enough; with a node, only such as can be used there."""
    found = [one for one in volumes if volume_for(one, claim) and (node is None or reaches(one, node))]
    return min(found, key=_preference, default=None)


def _preference(volume: Obj) -> tuple[Any, ...]:
    return "claimRef" not in volume["spec"], parse(volume["spec"]["capacity"]["storage"]), volume["metadata"]["name"]


def reaches(volume: Obj, node: Obj) -> bool:
    """Whether a volume can be used on a node."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or matches_node_selector(required, node)
