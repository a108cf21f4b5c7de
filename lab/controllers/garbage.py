"""The garbage collector: objects go when their owners have gone, and owners wait for them or let them go when asked to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any

from lab.controllers.controller import WorkQueue
from lab.controllers.events import Recorder
from lab.controllers.objects import is_deleting, uid_of
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import EVENT, Kind
from lab.kubernetes.registry import DeleteOptions, Registry
from lab.kubernetes.store import Event

Obj = dict[str, Any]

log = logging.getLogger("lab.controllers")

_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"
# Real seconds that steps take at least: clients see an owner wait, and other controllers have a last look at it.
_PAUSE = 0.02
_LAST_LOOK = 0.1


@dataclass(frozen=True)
class _Node:
    """Where an object stands."""

    kind: Kind
    namespace: str
    name: str


class GarbageCollector:
    """Knows who owns whom, by uid."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._recorder = Recorder(registry, "garbage-collector-controller")
        self._queue: WorkQueue[str] = WorkQueue(registry.clock)
        self._nodes: dict[str, _Node] = {}
        self._dependents: dict[str, dict[str, None]] = {}
        self._reported: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        for kind in self._registry.kinds.all():
            if kind.stored and kind is not EVENT:
                for obj in self._registry.store.items(kind):
                    self._add(kind, obj)
        for uid in list(self._nodes):
            self._queue.add(uid)
        stop = self._registry.store.listen(None, self._hear)
        try:
            while True:
                uid = await self._queue.get()
                self._try(uid)
                await asyncio.sleep(0)
        finally:
            stop()

    def _hear(self, event: Event) -> None:
        if event.kind is EVENT:
            return
        try:
            self._on_event(event)
        except Exception:  # a fault here must not break the write that is going on
            log.exception("garbage collector: event of %s %s", event.kind.kind, event.object["metadata"]["name"])

    def _try(self, uid: str) -> None:
        try:
            self._sync(uid)
        except ApiError as error:
            log.debug("garbage collector: %s: %s", self._nodes.get(uid), error)
            self._queue.retry(uid)
        except Exception:
            log.exception("garbage collector: %s", self._nodes.get(uid))
            self._queue.retry(uid)
        else:
            self._queue.forget(uid)

    # What happens in the world

    def _on_event(self, event: Event) -> None:
        uid = uid_of(event.object)
        if event.type == "DELETED":
            self._remove(uid, event.object)
            return
        known = uid in self._nodes
        self._add(event.kind, event.object)
        if event.old is not None:
            self._note_change(uid, event.object, event.old)
        if not known and any(self._is_doubtful(event.object, owner) for owner in _owners(event.object)):
            self._queue.add(uid)
        if is_deleting(event.object) and (event.old is None or _wish(event.object) != _wish(event.old)):
            self._begin(uid, event.object)

    def _add(self, kind: Kind, obj: Obj) -> None:
        uid, meta = uid_of(obj), obj["metadata"]
        if uid not in self._nodes:
            self._nodes[uid] = _Node(kind, meta.get("namespace", ""), meta["name"])
        for owner in _owners(obj):
            self._dependents.setdefault(owner["uid"], {})[uid] = None

    def _note_change(self, uid: str, new: Obj, old: Obj) -> None:
        if _owners(new) == _owners(old):
            return
        left = {owner["uid"] for owner in _owners(old)} - {owner["uid"] for owner in _owners(new)}
        for owner in left:
            self._dependents.get(owner, {}).pop(uid, None)
        self._queue.add(uid)
        for owner_reference in _owners(old):  # one that waits may have been released
            self._wake_waiting(owner_reference["uid"])

    def _remove(self, uid: str, obj: Obj) -> None:
        self._nodes.pop(uid, None)
        for dependent in self._dependents.pop(uid, {}):
            self._queue.add(dependent)
        for owner in _owners(obj):
            if (others := self._dependents.get(owner["uid"])) is not None:
                others.pop(uid, None)
                if not others:
                    del self._dependents[owner["uid"]]
            self._wake_waiting(owner["uid"])

    def _wake_waiting(self, uid: str) -> None:
        obj = self._find(uid)
        if obj is not None and is_deleting(obj) and _wish(obj) == _FOREGROUND:
            self._soon(uid)

    def _begin(self, uid: str, obj: Obj) -> None:
        """An object asks for its dependents to go first, or to be let go."""
        if _wish(obj) == _FOREGROUND:
            for dependent in self._dependents.get(uid, {}):
                self._soon(dependent)
            self._soon(uid)
        elif _wish(obj) == _ORPHAN:
            if _has_controller(obj):
                self._soon(uid)
            else:
                self._queue.add(uid)

    def _soon(self, uid: str, pause: float = _PAUSE) -> None:
        self._queue.add_after(uid, pause * self._registry.clock.speed)

    def _is_doubtful(self, obj: Obj, owner: Obj) -> bool:
        node = self._nodes.get(owner["uid"])
        return node is None or node.namespace not in ("", obj["metadata"].get("namespace", "")) or node.name != owner["name"]

    # What is done about it

    def _find(self, uid: str) -> Obj | None:
        node = self._nodes.get(uid)
        obj = self._registry.find(node.kind, node.namespace, node.name) if node else None
        return obj if obj is not None and uid_of(obj) == uid else None

    def _sync(self, uid: str) -> None:
        obj = self._find(uid)
        if obj is None:
            return
        if is_deleting(obj):
            if _wish(obj) == _FOREGROUND:
                self._wait_for_dependents(uid, obj)
            elif _wish(obj) == _ORPHAN:
                self._let_dependents_go(uid, obj)
            return
        if _owners(obj):
            self._check_owners(uid, obj)

    def _wait_for_dependents(self, uid: str, obj: Obj) -> None:
        blocking = [one for one in self._dependents.get(uid, {}) if self._blocks(one, uid)]
        if not blocking:
            self._drop_finalizer(uid, _FOREGROUND)
        for dependent in blocking:
            if not is_deleting(self._find(dependent) or obj):
                self._queue.add(dependent)

    def _blocks(self, dependent: str, owner_uid: str) -> bool:
        obj = self._find(dependent)
        return obj is not None and any(owner["uid"] == owner_uid and owner.get("blockOwnerDeletion") for owner in _owners(obj))

    def _let_dependents_go(self, uid: str, obj: Obj) -> None:
        dependents = list(self._dependents.get(uid, {}))
        for dependent in dependents:
            self._drop_owners(dependent, {uid})
        if dependents and _has_controller(obj):
            self._soon(uid, _LAST_LOOK)  # its controller first tells in the status that nothing is left
        else:
            self._drop_finalizer(uid, _ORPHAN)

    def _check_owners(self, uid: str, obj: Obj) -> None:
        solid, dangling, waiting = self._classify(obj)
        if solid:
            if dangling or waiting:
                self._drop_owners(uid, dangling | waiting)
            return
        node = self._nodes[uid]
        if waiting and self._dependents.get(uid):
            policy = "Foreground"
        else:
            policy = {_ORPHAN: "Orphan", _FOREGROUND: "Foreground"}.get(_wish(obj) or "", "Background")
        with contextlib.suppress(ApiError):
            self._registry.delete(node.kind, node.namespace, node.name, DeleteOptions(propagation=policy, uid=uid))

    def _classify(self, obj: Obj) -> tuple[set[str], set[str], set[str]]:
        """Owners that live, that are not there, and that wait for their dependents to go."""
        solid: set[str] = set()
        dangling: set[str] = set()
        waiting: set[str] = set()
        for owner in _owners(obj):
            kind = self._registry.kinds.by_kind(owner["apiVersion"], owner["kind"])
            if kind is None:  # a kind that nobody serves: cannot be judged
                solid.add(owner["uid"])
                continue
            kind = self._registry.kinds.stored(kind)
            self._report_other_namespace(obj, owner)
            found = self._registry.find(kind, obj["metadata"].get("namespace", ""), owner["name"])
            if found is None or uid_of(found) != owner["uid"]:
                dangling.add(owner["uid"])
            elif is_deleting(found) and _wish(found) == _FOREGROUND:
                waiting.add(owner["uid"])
            else:
                solid.add(owner["uid"])
        return solid, dangling, waiting

    def _report_other_namespace(self, obj: Obj, owner: Obj) -> None:
        node = self._nodes.get(owner["uid"])
        meta = obj["metadata"]
        namespace = meta.get("namespace", "")
        if node is None or node.namespace in ("", namespace) or (meta["uid"], owner["uid"]) in self._reported:
            return
        self._reported.add((meta["uid"], owner["uid"]))
        about = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": {"namespace": namespace, "name": meta["name"], "uid": meta["uid"]}}
        named = f"[{owner['apiVersion']}/{owner['kind']}, namespace: {namespace}, name: {owner['name']}, uid: {owner['uid']}]"
        self._recorder.event(about, "Warning", "OwnerRefInvalidNamespace", f'ownerRef {named} does not exist in namespace "{namespace}"')

    def _drop_owners(self, uid: str, owners: set[str]) -> None:
        def change(obj: Obj) -> None:
            obj["metadata"]["ownerReferences"] = [one for one in _owners(obj) if one["uid"] not in owners]

        if (node := self._nodes.get(uid)) and self._find(uid) is not None:
            self._registry.modify(node.kind, node.namespace, node.name, change)

    def _drop_finalizer(self, uid: str, finalizer: str) -> None:
        def change(obj: Obj) -> None:
            obj["metadata"]["finalizers"] = [one for one in obj["metadata"].get("finalizers") or () if one != finalizer]

        if node := self._nodes.get(uid):
            self._registry.modify(node.kind, node.namespace, node.name, change)


def _owners(obj: Obj) -> list[Obj]:
    return obj["metadata"].get("ownerReferences") or []


def _has_controller(obj: Obj) -> bool:
    """Whether a controller tells of its orphans before the object goes; those of other kinds come too late for that."""
    return obj["kind"] in ("Deployment", "ReplicaSet") and str(obj["apiVersion"]).startswith("apps/")


def _wish(obj: Obj) -> str | None:
    """What an object wants for its dependents when it goes."""
    finalizers = obj["metadata"].get("finalizers") or ()
    return next((one for one in (_FOREGROUND, _ORPHAN) if one in finalizers), None)
