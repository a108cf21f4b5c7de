"""What admission and the kinds' own strategies add to a write, or refuse: they look at other objects, so they are no pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.kubernetes import kinds
from lab.kubernetes.context import Context
from lab.kubernetes.errors import ApiError, forbidden, not_found
from lab.kubernetes.kinds import NAMESPACE, Kind

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

# Reviews are answered, not kept: they may name a namespace that is going.
_ALLOWED_IN_TERMINATING = ("LocalSubjectAccessReview",)


class Admission:
    """The chain of checks around every write."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def check_namespace(self, kind: Kind, obj: Obj, namespace: str, ctx: Context) -> None:
        """Nothing is made in a namespace that is not there (404) or on its way out (403)."""
        if not kind.namespaced:
            return
        found = self._registry.find(NAMESPACE, "", namespace)
        if found is None:
            raise not_found(NAMESPACE, namespace)
        if found["metadata"].get("deletionTimestamp") and kind.kind not in _ALLOWED_IN_TERMINATING:
            raise self._terminating(kind, obj["metadata"].get("name", ""), namespace)

    @staticmethod
    def _terminating(kind: Kind, name: str, namespace: str) -> ApiError:
        error = forbidden(kind, name, f"unable to create new content in namespace {namespace} because it is being terminated")
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated", "field": "metadata.namespace"}
        error.details = {**(error.details or {}), "causes": [cause]}
        return error

    def mutate(self, kind: Kind, obj: Obj, ctx: Context) -> None:
        """Add to a new object what depends on the cluster."""
        if kind is kinds.NAMESPACE:
            obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")

    def mutate_update(self, kind: Kind, old: Obj, new: Obj, ctx: Context) -> None:
        """Add to a changed object what depends on the cluster."""
        if kind is kinds.NAMESPACE:
            new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]

    def keep(self, kind: Kind, old: Obj, new: Obj) -> None:
        """Take over from the old object what the server alone decides."""

    def check_create(self, kind: Kind, obj: Obj, ctx: Context) -> None:
        """Refuse a new, valid object: quota and the like."""

    def check_update(self, kind: Kind, old: Obj, new: Obj, ctx: Context) -> None:
        """Refuse a changed, valid object."""

    def commit(self, kind: Kind, old: Obj | None, new: Obj) -> None:
        """Note what a write that surely happens takes or frees."""

    def commit_delete(self, kind: Kind, old: Obj) -> None:
        """Note what a delete that surely happens frees."""
