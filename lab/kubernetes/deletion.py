"""What a delete does: grace, finalizers, propagation."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lab.clock import timestamp
from lab.kubernetes import metadata
from lab.kubernetes.context import Context, Deleted, DeleteOptions
from lab.kubernetes.errors import conflict, forbidden
from lab.kubernetes.kinds import CRD, Kind

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

# Jobs and replication controllers come from a time when nothing was collected.
_ORPHAN_BY_DEFAULT = ("Job", "ReplicationController")
_IMMORTAL = ("default", "kube-system", "kube-public")
_PROPAGATION_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


def storage_path(kind: Kind) -> str:
    """Where etcd keeps a kind: shown in one error only."""
    return {"services": "services/specs", "endpoints": "services/endpoints", "nodes": "minions", "leases": "leases"}.get(kind.plural, kind.plural)


def is_over(obj: Obj) -> bool:
    """Whether an object under deletion waits for nothing more."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return not (obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers"))


def delete(registry: Registry, kind: Kind, old: Obj, options: DeleteOptions, ctx: Context) -> Deleted:
    """Carry out a delete of a stored object."""
    _check_preconditions(kind, old, options)
    if kind.kind == "Namespace" and not kind.group:
        return _delete_namespace(registry, kind, old, options, ctx)
    if kind is CRD:
        return _delete_definition(registry, old, options, ctx)
    meta = dict(old["metadata"])
    grace = _grace(kind, old, options)
    _set_finalizers(kind, meta, options)
    began = not meta.get("deletionTimestamp")
    if began or grace < (meta.get("deletionGracePeriodSeconds") or 0):
        ends = registry.clock.now() + timedelta(seconds=registry.clock.real(grace))
        meta["deletionTimestamp"] = timestamp(ends)
        meta["deletionGracePeriodSeconds"] = grace
        if began and "generation" in meta:
            meta["generation"] += 1
    new = {**old, "metadata": metadata.ordered(meta)}
    if options.dry_run or ctx.dry_run:
        return Deleted(new, not meta.get("finalizers") and grace == 0)
    namespace, name = meta.get("namespace", ""), meta["name"]
    if meta.get("finalizers") or grace:
        return Deleted(registry.put(kind, new) if new != old else old, False)
    if kind.kind == "Pod":  # even one that goes at once is first seen with its grace of 0
        if new != old:
            registry.put(kind, new)
        return Deleted(registry.remove(kind, namespace, name), True)
    return Deleted(registry.remove(kind, namespace, name), True)


def _check_preconditions(kind: Kind, old: Obj, options: DeleteOptions) -> None:
    meta = old["metadata"]
    if options.uid and options.uid != meta["uid"]:
        raise conflict(
            kind, meta["name"],
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated", by_kind=True,
        )  # fmt: skip
    if options.resource_version and options.resource_version != meta["resourceVersion"]:
        raise conflict(
            kind, meta["name"],
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in record "
            f"({meta['resourceVersion']}). The object might have been modified", by_kind=True,
        )  # fmt: skip


def _grace(kind: Kind, old: Obj, options: DeleteOptions) -> int:
    """Seconds between the wish and the end. Only Pods have any."""
    if kind.kind != "Pod":
        return 0
    spec, meta = old.get("spec") or {}, old["metadata"]
    if meta.get("deletionTimestamp"):  # who asks again may only shorten it, and has to say so
        pending = int(meta.get("deletionGracePeriodSeconds") or 0)
        return pending if options.grace is None else min(pending, options.grace if options.grace >= 0 else 1)
    wanted = options.grace if options.grace is not None else spec.get("terminationGracePeriodSeconds", 30)
    if wanted < 0:
        wanted = 1
    if not spec.get("nodeName") or (old.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        wanted = 0
    return int(wanted)


def _set_finalizers(kind: Kind, meta: Obj, options: DeleteOptions) -> None:
    """The garbage collector's two finalizers say how the dependents shall go; a new wish takes the place of the old one."""
    finalizers = list(meta.get("finalizers") or ())
    policy = options.propagation
    if policy is None and kind.kind in _ORPHAN_BY_DEFAULT:
        policy = "Orphan"
    if policy is not None:
        finalizers = [one for one in finalizers if one not in _PROPAGATION_FINALIZERS.values()]
        if policy in _PROPAGATION_FINALIZERS:
            finalizers.append(_PROPAGATION_FINALIZERS[policy])
    meta["finalizers"] = finalizers


def _delete_namespace(registry: Registry, kind: Kind, old: Obj, options: DeleteOptions, ctx: Context) -> Deleted:
    """A namespace turns Terminating; what is in it, and then it itself, is taken away by its controller."""
    meta = dict(old["metadata"])
    if meta["name"] in _IMMORTAL:
        raise forbidden(kind, meta["name"], "this namespace may not be deleted")
    if (old.get("spec") or {}).get("finalizers") or meta.get("finalizers"):
        new = old
        if not meta.get("deletionTimestamp"):
            meta["deletionTimestamp"] = registry.now()
            new = {**old, "metadata": metadata.ordered(meta), "status": {**(old.get("status") or {}), "phase": "Terminating"}}
            if not (options.dry_run or ctx.dry_run):
                new = registry.put(kind, new)
        return Deleted(new, False)
    if options.dry_run or ctx.dry_run:
        return Deleted(old, True)
    return Deleted(registry.remove(kind, "", meta["name"]), True)


def _delete_definition(registry: Registry, old: Obj, options: DeleteOptions, ctx: Context) -> Deleted:
    """The objects of a custom kind go before its definition: a finalizer sees to that."""
    meta, status = dict(old["metadata"]), dict(old.get("status") or {})
    if meta.get("deletionTimestamp"):
        return Deleted(old, False)
    meta["deletionTimestamp"] = registry.now()
    meta["finalizers"] = [*(meta.get("finalizers") or ()), *([] if _CLEANUP in (meta.get("finalizers") or ()) else [_CLEANUP])]
    told = {
        "type": "Terminating", "status": "True", "lastTransitionTime": registry.now(), "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    }  # fmt: skip
    status["conditions"] = [*(one for one in status.get("conditions") or () if one["type"] != "Terminating"), told]
    new = {**old, "metadata": metadata.ordered(meta), "status": status}
    if options.dry_run or ctx.dry_run:
        return Deleted(new, False)
    return Deleted(registry.put(CRD, new), False)


_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
