"""Metadata that belongs to the server: names, uids, times, generations."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from lab.kubernetes.kind import Kind

Obj = dict[str, Any]

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_ORDER = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip
_SERVER_SET = ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "uid", "creationTimestamp")


def random_suffix(length: int = 5) -> str:
    """Letters of a generated name: no vowels, so no words come out, and nothing that looks like something else."""
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(length))


def new_uid() -> str:
    """A fresh uid."""
    return str(uuid.uuid4())


def ordered(meta: Obj) -> Obj:
    """Metadata in the order in which the server writes it, without empty fields."""
    return {key: value for key in _ORDER if (value := meta.get(key)) or (value == 0 and key == "deletionGracePeriodSeconds")}


def begin(kind: Kind, obj: Obj, namespace: str, now: str) -> None:
    """Set what the server sets on a new object, over whatever the client sent."""
    meta = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in _SERVER_SET}
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"][:58] + random_suffix()
    if kind.namespaced:
        meta["namespace"] = namespace
    else:
        meta.pop("namespace", None)
    meta["uid"] = new_uid()
    meta["creationTimestamp"] = now
    if kind.generation != "never":
        meta["generation"] = 1
    obj["metadata"] = ordered(meta)


def keep(old: Obj, new: Obj) -> None:
    """Take over what a client cannot change from the object before."""
    meta, before = new["metadata"], old["metadata"]
    for key in (*_SERVER_SET, "generation", "generateName", "namespace"):
        if key in before:
            meta[key] = before[key]
        else:
            meta.pop(key, None)
    new["metadata"] = ordered(meta)


def grow_generation(kind: Kind, old: Obj, new: Obj) -> None:
    """Raise the generation when what it counts has changed."""
    if kind.generation == "never" or not _counts(kind, old, new):
        return
    meta = new["metadata"]
    meta["generation"] = (old["metadata"].get("generation") or 0) + 1
    new["metadata"] = ordered(meta)


def _counts(kind: Kind, old: Obj, new: Obj) -> bool:
    if kind.generation == "all":
        ignored = {"metadata", "kind", "apiVersion"} | ({"status"} if kind.status else set())
        return any(old.get(key) != new.get(key) for key in (old.keys() | new.keys()) - ignored)
    if kind.generation == "spec+annotations" and old["metadata"].get("annotations") != new["metadata"].get("annotations"):
        return True
    return any(old.get(key) != new.get(key) for key in _CONTENT.get(kind.kind, ("spec",)))


# What takes the place of spec in kinds that have none.
_CONTENT: dict[str, tuple[str, ...]] = {
    "EndpointSlice": ("addressType", "endpoints", "ports"),
    "PriorityClass": ("value", "globalDefault", "description", "preemptionPolicy"),
    "MutatingWebhookConfiguration": ("webhooks",),
    "ValidatingWebhookConfiguration": ("webhooks",),
}
