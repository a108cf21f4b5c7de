"""Make a network's objects go away, and nothing else; say what stays and why."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from networks import labels
from networks.errors import Permanent
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.ensure import all_of
from tasks.kubernetes.errors import NotThere
from tasks.kubernetes.kinds import KINDS, NAMESPACE, PERSISTENT_VOLUME, Kind, Obj
from tasks.waiting import WALL, Clock, NotYet, wait_until

# What every namespace gets by itself, and kinds that only mirror other objects.
_AUTOMATIC = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
_MIRRORS = {"Event", "Endpoints", "EndpointSlice", "PodMetrics"}


@dataclass(frozen=True)
class Found:
    """An object in a namespace, its metadata only."""

    kind: Kind
    obj: Obj

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.obj['metadata']['name']}"


@dataclass(frozen=True)
class Contents:
    """What is in a namespace: ours, other people's, and kinds that we may not look at."""

    ours: tuple[Found, ...]
    foreign: tuple[Found, ...]
    unseen: tuple[str, ...]

    def keeps_namespace(self) -> str:
        """Why the namespace may not go as a whole; empty when it may."""
        if self.foreign:
            more = f" and {len(self.foreign) - 5} more" if len(self.foreign) > 5 else ""
            return f"it holds objects that are not the network's: {', '.join(map(str, self.foreign[:5]))}{more}"
        if self.unseen:
            return f"nobody can tell what else is in it: these credentials may not list {', '.join(self.unseen)}"
        return ""


async def kinds_in_namespaces(k8s: Connection) -> list[Kind]:
    """Every kind of the cluster that lives in namespaces and can be listed and deleted, custom ones too: two requests."""
    kinds = []
    for group in [item for answer in await all_of([k8s.discovery("/api"), k8s.discovery("/apis")]) for item in answer]:
        name = group["metadata"].get("name", "")
        version = group["versions"][0]  # the group's preferred one: every object can be read in it
        for resource in version.get("resources") or []:
            if resource.get("scope") == "Namespaced" and {"list", "delete"} <= set(resource.get("verbs") or []):
                api_version = f"{name}/{version['version']}" if name else version["version"]
                kinds.append(Kind(resource["responseKind"]["kind"], api_version, resource["resource"]))
    return [kind for kind in kinds if kind.kind not in _MIRRORS]


async def look_into(k8s: Connection, namespace: str, network: str) -> Contents:
    """Everything in a namespace, sorted by whose it is. What another object there owns (a Deployment's pods) is not listed: it goes with that one."""
    kinds = await kinds_in_namespaces(k8s)
    unseen: list[str] = []
    if not kinds:  # a server before 1.27, which does not tell all its kinds at once
        kinds, unseen = [kind for kind in KINDS if kind.namespaced and kind.kind not in _MIRRORS], ["all kinds of objects"]

    async def listed(kind: Kind) -> list[Found]:
        try:
            objects, _ = await k8s.find(kind, namespace, metadata_only=True)
        except NotThere:  # the kind is gone since
            return []
        except Permanent:
            unseen.append(kind.plural)
            return []
        return [Found(kind, obj) for obj in objects]

    found = [one for several in await all_of([listed(kind) for kind in kinds]) for one in several]
    uids = {one.obj["metadata"]["uid"] for one in found}
    roots = [one for one in found if not _comes_with_another(one.obj, uids)]
    ours = tuple(one for one in roots if labels.network_of(one.obj["metadata"].get("labels")) == network)
    return Contents(ours, tuple(one for one in roots if one not in ours), tuple(sorted(unseen)))


def _comes_with_another(obj: Mapping[str, Any], uids: set[str]) -> bool:
    if (obj["kind"], obj["metadata"]["name"]) in _AUTOMATIC:
        return True
    return any(owner.get("uid") in uids for owner in obj["metadata"].get("ownerReferences") or [])


async def delete_objects(k8s: Connection, objects: tuple[Found, ...]) -> None:
    """Ask for the deletion of these very objects: one of the same name made meanwhile is left alone."""

    async def delete(one: Found) -> None:
        meta = one.obj["metadata"]
        with suppress(NotThere):
            await k8s.delete(one.kind, meta.get("namespace"), meta["name"], uid=meta["uid"], propagation="Foreground")

    await all_of([delete(one) for one in objects])


async def wait_until_objects_gone(k8s: Connection, namespace: str, network: str, *, seconds: float, clock: Clock = WALL) -> Contents:
    """Until nothing of the network is left in a namespace; gives what is left of others. Permanent, with what remains, when time is up."""

    async def probe() -> Contents:
        contents = await look_into(k8s, namespace, network)
        if contents.ours:
            raise NotYet(", ".join(_why_still_there(one) for one in contents.ours[:10]))
        return contents

    return await wait_until(probe, timeout=seconds, interval=2, describe=f"the objects of {network} to be gone", advice=_STUCK, clock=clock)


_STUCK = "an object with a finalizer waits for whoever set it: look at that controller, or take the finalizer away"


def _why_still_there(one: Found) -> str:
    finalizers = one.obj["metadata"].get("finalizers")
    return f"{one} (finalizers {', '.join(finalizers)})" if finalizers else str(one)


async def wait_until_namespace_gone(k8s: Connection, name: str, uid: str, *, seconds: float, clock: Clock = WALL) -> None:
    """Until the namespace is gone. Permanent, with what the cluster says about what remains in it, when time is up."""

    async def probe() -> None:
        try:
            namespace = await k8s.get(NAMESPACE, None, name)
        except NotThere:
            return
        if namespace["metadata"]["uid"] != uid:  # gone, and made again by somebody
            return
        conditions = (namespace.get("status") or {}).get("conditions") or []
        told = [str(c.get("message")) for c in conditions if c.get("status") == "True" and c.get("type") != "NamespaceDeletionDiscoveryFailure"]
        raise NotYet("; ".join(told) or "still terminating")

    await wait_until(probe, timeout=seconds, interval=1, describe=f"namespace {name} to be gone", advice=_STUCK, clock=clock)


async def remaining_volumes(k8s: Connection, namespace: str) -> list[str]:
    """Disks that the network's claims leave behind, each with why. Empty also when these credentials may not look at volumes."""
    try:
        volumes, _ = await k8s.find(PERSISTENT_VOLUME)
    except Permanent:
        return []
    own = [v for v in volumes if ((v.get("spec") or {}).get("claimRef") or {}).get("namespace") == namespace]
    return [f"PersistentVolume {v['metadata']['name']} (reclaim policy {v['spec'].get('persistentVolumeReclaimPolicy')})" for v in own]
