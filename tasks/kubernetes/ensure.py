"""Make the cluster hold given objects: one request each, any number of times, and tell what that changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from networks.errors import Permanent
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.errors import AlreadyThere, NotThere, Unsure
from tasks.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, PDB, PVC, SECRET, SERVICE, Kind, Obj, describe, kind_of

T = TypeVar("T")
Key = tuple[str, str, str]  # kind, namespace, name

# What networks are made of, and so what is listed to see what a network has already.
LISTED = (CONFIG_MAP, PVC, SERVICE, DEPLOYMENT, PDB)


@dataclass
class Tally:
    """How many objects were made, changed, or found as they should be."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    touched: list[str] = field(default_factory=list)  # what was created or changed

    @property
    def nothing_changed(self) -> bool:
        """Whether the cluster already was as it should be."""
        return not (self.created or self.changed)

    def __str__(self) -> str:
        return f"{self.created} created, {self.changed} changed, {self.unchanged} unchanged"


class Present:
    """A network's objects as they were when the flow began: what `created`, `changed` and `unchanged` are told by."""

    def __init__(self, objects: Iterable[Obj] = ()) -> None:
        self._objects = {_key(obj): obj for obj in objects}

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """An object as it was, if it was there. Secrets have metadata only."""
        return self._objects.get((kind, namespace, name))

    def before(self, obj: Obj) -> Obj | None:
        """What was there in place of this object."""
        return self._objects.get(_key(obj))

    def remember(self, obj: Obj) -> None:
        """From now on this is what is there."""
        self._objects[_key(obj)] = obj

    def __len__(self) -> int:
        return len(self._objects)


async def look_around(k8s: Connection, namespace: str, labels: str) -> Present:
    """What a network has already: a few lists instead of a question for each object. Of Secrets only that they are there."""
    lists = [k8s.list(kind, namespace, labels) for kind in LISTED] + [k8s.list(SECRET, namespace, labels, metadata_only=True)]
    found = await all_of(lists)
    return Present(obj for objects, _ in found for obj in objects)


async def ensure_objects(k8s: Connection, objects: Iterable[Obj], present: Present, tally: Tally) -> list[Obj]:
    """Server-side apply of every object, at most as many at once as the connection allows; gives them in order as they now are."""

    async def ensure(obj: Obj) -> Obj:
        before = present.before(obj)
        after, created = await k8s.apply(kind_of(obj), obj)
        if created:
            tally.created += 1
        elif before is not None and same_to_us(before, after):
            tally.unchanged += 1
        else:
            tally.changed += 1
        if created or before is None or not same_to_us(before, after):
            tally.touched.append(describe(obj))
        present.remember(after)
        return after

    return await all_of([ensure(obj) for obj in objects])


async def create_once(k8s: Connection, obj: Obj, present: Present, tally: Tally) -> None:
    """Make an object unless one of that name is there; what is there is never touched. For keys and records, which must outlive every later run."""
    if present.before(obj) is not None:
        tally.unchanged += 1
        return
    kind, meta = kind_of(obj), obj["metadata"]
    for _ in range(3):
        try:
            await k8s.create(kind, obj)
        except AlreadyThere:
            tally.unchanged += 1
        except Unsure:
            # The answer got lost. Sent again it would say that the object exists, and nobody would know whether it is this one: so look.
            if not await _is_there(k8s, kind, meta["namespace"], meta["name"]):
                continue
            tally.created += 1
            tally.touched.append(describe(obj))
        else:
            tally.created += 1
            tally.touched.append(describe(obj))
        present.remember({**obj, "data": None, "stringData": None})
        return
    raise Permanent(f"cannot create {describe(obj)}", why="the connection broke three times before it was made", advice="run again when the API server is well")


async def _is_there(k8s: Connection, kind: Kind, namespace: str, name: str) -> bool:
    try:
        await k8s.get(kind, namespace, name)
    except NotThere:
        return False
    return True


def same_to_us(before: Obj, after: Obj) -> bool:
    """Whether an apply left an object as it was, as far as people put things into it: other than status, versions, and what controllers write down."""
    if before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion"):
        return True
    return _own_part(before) == _own_part(after)


def _own_part(obj: Obj) -> dict[str, Any]:
    rest = {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion", "kind")}
    if obj.get("kind") == PVC.kind:  # bound meanwhile
        rest["spec"] = {key: value for key, value in rest.get("spec", {}).items() if key != "volumeName"}
    meta = obj["metadata"]
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if "kubernetes.io/" not in key}
    return {**rest, "labels": meta.get("labels") or {}, "annotations": notes}


def _key(obj: Obj) -> Key:
    meta = obj["metadata"]
    return obj["kind"], meta.get("namespace", ""), meta["name"]


async def all_of(jobs: Iterable[Awaitable[T]]) -> list[T]:
    """Results in order, run side by side. The first error stops the others and is raised as it is, not inside a group."""
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_run(job)) for job in jobs]
    except BaseExceptionGroup as many:
        raise _first(many) from None
    return [task.result() for task in running]


async def _run(job: Awaitable[T]) -> T:
    return await job


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
