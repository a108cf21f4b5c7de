"""Small questions that several controllers ask of objects."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from lab.kubernetes.errors import ApiError
from lab.kubernetes.kind import Kind

Obj = dict[str, Any]


def uid_of(obj: Obj) -> str:
    """The object's uid."""
    return str(obj["metadata"]["uid"])


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference that is the controller, if any."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return None


def controller_uid(obj: Obj) -> Iterable[str]:
    """The uid of the controller, for an index: one or none."""
    owner = controller_of(obj)
    return (owner["uid"],) if owner else ()


def controller_reference(kind: Kind, owner: Obj) -> Obj:
    """What an object carries that this owner controls."""
    meta = owner["metadata"]
    return {
        "apiVersion": kind.api_version, "kind": kind.kind, "name": meta["name"], "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def is_deleting(obj: Obj) -> bool:
    """Whether somebody asked for it to go."""
    return "deletionTimestamp" in obj["metadata"]


def condition(obj: Obj, kind: str) -> Obj | None:
    """A status condition by its type."""
    for some in obj.get("status", {}).get("conditions") or ():
        if some["type"] == kind:
            return dict(some)
    return None


def is_ready(pod: Obj) -> bool:
    """Whether a pod's Ready condition is True."""
    return any(some["type"] == "Ready" and some["status"] == "True" for some in pod.get("status", {}).get("conditions") or ())


def is_finished(pod: Obj) -> bool:
    """Whether a pod succeeded or failed, for good."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Whether a pod counts as a replica: neither finished nor on its way out."""
    return not is_finished(pod) and not is_deleting(pod)


def is_terminating(pod: Obj) -> bool:
    """Whether a pod was asked to go and still runs."""
    return not is_finished(pod) and is_deleting(pod)


def moment(text: str | None) -> datetime:
    """A timestamp as a time; the beginning of time for none."""
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)


def namespace_terminates(error: ApiError) -> bool:
    """Whether a create was refused because its namespace is going."""
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
