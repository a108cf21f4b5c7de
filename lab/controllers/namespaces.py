"""Namespaces: what each is born with, and how a deleted one is emptied and goes."""

from __future__ import annotations

from typing import Any

from lab.controllers.controller import Controller, Key, WorkQueue, key_of
from lab.controllers.objects import is_deleting
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import CONFIG_MAP, NAMESPACE, POD, SERVICE_ACCOUNT, Kind
from lab.kubernetes.registry import SYSTEM, Context, DeleteOptions, Registry
from lab.kubernetes.store import Event

Obj = dict[str, Any]

_STEP = 5.0  # lab seconds between a change of a dying namespace and the next attempt to empty it
_ROUND = 0.25  # lab seconds that a round through all kinds takes
_FINALIZER_ESTIMATE = 15.0  # lab seconds that content with finalizers is given
_ROOT_CA = "kube-root-ca.crt"
_ROOT_CA_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or "
    "kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


class NamespaceContentController(Controller):
    """Gives each namespace its default service account and root certificate, and gives them back when somebody deletes them."""

    watches = (NAMESPACE, SERVICE_ACCOUNT, CONFIG_MAP)

    def __init__(self, registry: Registry, root_certificate: str = "") -> None:
        super().__init__(registry)
        self._root_certificate = root_certificate

    def on_event(self, event: Event) -> None:
        """A new namespace, or the loss of what it was born with."""
        meta = event.object["metadata"]
        if event.kind is NAMESPACE:
            if event.type == "ADDED":
                self.queue.add(("", meta["name"]))
        elif (event.kind is SERVICE_ACCOUNT and meta["name"] == "default" and event.type == "DELETED") or (
            event.kind is CONFIG_MAP and meta["name"] == _ROOT_CA and event.type != "ADDED"
        ):
            self.queue.add(("", meta["namespace"]))

    def sync(self, key: Key) -> None:
        """Make what is missing."""
        namespace = self.registry.find(NAMESPACE, "", key[1])
        if namespace is None or namespace.get("status", {}).get("phase") == "Terminating":
            return
        if self.registry.find(SERVICE_ACCOUNT, key[1], "default") is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": key[1]}}
            self.registry.create(SERVICE_ACCOUNT, account, key[1])
        data = {"ca.crt": self._root_certificate}
        present = self.registry.find(CONFIG_MAP, key[1], _ROOT_CA)
        context = Context(SYSTEM.user, SYSTEM.groups, manager="kube-controller-manager")
        if present is None:
            meta = {"name": _ROOT_CA, "namespace": key[1], "annotations": {"kubernetes.io/description": _ROOT_CA_NOTE}}
            self.registry.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}, key[1], context)
        elif present.get("data") != data and not is_deleting(present):
            self.registry.modify(CONFIG_MAP, key[1], _ROOT_CA, lambda some: some.update(data=data), ctx=context)


class NamespaceController(Controller):
    """Empties namespaces that were deleted: pods first, then everything, then the namespace itself."""

    watches = (NAMESPACE,)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, WorkQueue(registry.clock, first_delay=5.0, longest_delay=60.0))
        self._emptied: dict[str, tuple[dict[Kind, list[Obj]], float]] = {}  # what an attempt left over, and how long that may still take

    def on_event(self, event: Event) -> None:
        """Every change of a dying namespace leads to one more attempt, some seconds later: other servers may still admit writes."""
        if event.type != "DELETED" and is_deleting(event.object):
            self.queue.add_after(key_of(event.object), _STEP)

    def sync(self, key: Key) -> None:
        """One attempt to empty a namespace."""
        namespace = self.registry.find(NAMESPACE, *key)
        if namespace is None or not is_deleting(namespace) or "kubernetes" not in (namespace["spec"].get("finalizers") or ()):
            self._emptied.pop(key[1], None)
            return
        if key[1] in self._emptied:
            self._finish(key, namespace, *self._emptied.pop(key[1]))
        else:
            self._emptied[key[1]] = self._empty_all(key[1])
            self.queue.add_after(key, _ROUND)

    def _empty_all(self, name: str) -> tuple[dict[Kind, list[Obj]], float]:
        """Delete what can be deleted now."""
        remaining: dict[Kind, list[Obj]] = {}
        estimate = self._empty(POD, name)
        if not self.store.count(POD, name):
            for kind in self.registry.kinds.all():
                if kind.namespaced and kind.stored and self.store.count(kind, name):
                    self._empty(kind, name)
                    if left := self.store.items(kind, name):
                        remaining[kind] = left
                        estimate = _FINALIZER_ESTIMATE
        return remaining, max(estimate, float(self.store.count(POD, name) > 0))

    def _finish(self, key: Key, namespace: Obj, remaining: dict[Kind, list[Obj]], estimate: float) -> None:
        """Tell what the attempt came to; let the namespace go when nothing was left."""
        self._write_conditions(namespace, remaining)
        if estimate:
            self.queue.add_after(key, estimate / 2 + 1)
        else:
            self.registry.modify(NAMESPACE, "", key[1], _without_finalizer, "finalize")

    def _empty(self, kind: Kind, namespace: str) -> float:
        """Delete all of a kind; gives the longest grace that any of it has."""
        longest = 0.0
        for obj in self.store.items(kind, namespace):
            meta = obj["metadata"]
            if not is_deleting(obj):
                try:
                    self.registry.delete(kind, namespace, meta["name"], DeleteOptions(propagation="Background"))
                except ApiError as error:
                    if error.code != 404:
                        raise
            if kind is POD:
                longest = max(longest, float(obj["spec"].get("terminationGracePeriodSeconds", 30)))
        return longest

    def _write_conditions(self, namespace: Obj, remaining: dict[Kind, list[Obj]]) -> None:
        now = self.registry.now()
        before = {one["type"]: one for one in namespace.get("status", {}).get("conditions") or ()}
        conditions = []
        for one in _conditions(remaining):
            old = before.get(one["type"])
            same = old is not None and old["status"] == one["status"]
            conditions.append({"type": one["type"], "status": one["status"], "lastTransitionTime": old["lastTransitionTime"] if old and same else now,
                               "reason": one["reason"], "message": one["message"]})  # fmt: skip
        if conditions != namespace.get("status", {}).get("conditions"):
            self.registry.modify(NAMESPACE, "", namespace["metadata"]["name"], lambda some: some["status"].update(conditions=conditions), "status")


def _without_finalizer(namespace: Obj) -> None:
    finalizers = [one for one in namespace["spec"].get("finalizers") or () if one != "kubernetes"]
    if finalizers:
        namespace["spec"]["finalizers"] = finalizers
    else:
        namespace["spec"].pop("finalizers", None)


def _conditions(remaining: dict[Kind, list[Obj]]) -> list[Obj]:
    """The five conditions of a dying namespace."""
    kinds = [f"{kind.plural}.{kind.group} has {len(found)} resource instances" for kind, found in remaining.items()]
    counts: dict[str, int] = {}
    for found in remaining.values():
        for obj in found:
            for finalizer in obj["metadata"].get("finalizers") or ():
                counts[finalizer] = counts.get(finalizer, 0) + 1
    holders = [f"{name} in {number} resource instances" for name, number in sorted(counts.items())]
    rows = [
        ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
        ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    ]
    found_rows = {name: {"type": name, "status": "False", "reason": reason, "message": message} for name, reason, message in rows}
    if kinds:
        found_rows["NamespaceContentRemaining"].update(
            status="True", reason="SomeResourcesRemain", message=f"Some resources are remaining: {', '.join(kinds)}"
        )
    if holders:
        found_rows["NamespaceFinalizersRemaining"].update(
            status="True", reason="SomeFinalizersRemain",
            message=f"Some content in the namespace has finalizers remaining: {', '.join(holders)}",
        )  # fmt: skip
    return list(found_rows.values())
