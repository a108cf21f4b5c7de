"""Make the cluster hold given objects: one request each, any number of times, and tell what that changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from enum import IntEnum
from typing import Any, TypeVar

from networks.errors import Permanent
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.errors import AlreadyThere, NotThere, Unsure
from tasks.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, PDB, PVC, SECRET, SERVICE, Kind, Obj, describe, kind_of

T = TypeVar("T")
Key = tuple[str, str, str]  # kind, namespace, name

# What networks are made of, and so what is listed to see what a network has already.
LISTED = (CONFIG_MAP, PVC, SERVICE, DEPLOYMENT, PDB)


class Outcome(IntEnum):
    """What an ensure did to an object; the larger word stays when it is done twice."""

    UNCHANGED = 0
    CHANGED = 1
    CREATED = 2


class Tally:
    """How many objects were made, changed, or found as they should be. An object that is ensured again (a task's retry) counts once."""

    def __init__(self) -> None:
        self._outcomes: dict[Key, Outcome] = {}

    def note(self, obj: Obj, outcome: Outcome) -> None:
        """This was done to this object."""
        key = _key(obj)
        self._outcomes[key] = max(outcome, self._outcomes.get(key, outcome))

    def _count(self, outcome: Outcome) -> int:
        return sum(each is outcome for each in self._outcomes.values())

    @property
    def created(self) -> int:
        """Objects made."""
        return self._count(Outcome.CREATED)

    @property
    def changed(self) -> int:
        """Objects changed."""
        return self._count(Outcome.CHANGED)

    @property
    def unchanged(self) -> int:
        """Objects found as they should be."""
        return self._count(Outcome.UNCHANGED)

    def touched(self) -> list[str]:
        """What was made or changed, for people."""
        return [f"{kind} {name}" for (kind, _, name), outcome in self._outcomes.items() if outcome is not Outcome.UNCHANGED]


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
    lists = [k8s.find(kind, namespace, labels) for kind in LISTED] + [k8s.find(SECRET, namespace, labels, metadata_only=True)]
    found = await all_of(lists)
    return Present(obj for objects, _ in found for obj in objects)


async def ensure_objects(k8s: Connection, objects: Iterable[Obj], present: Present, tally: Tally) -> list[Obj]:
    """Server-side apply of every object, at most as many at once as the connection allows; gives them in order as they now are."""

    async def ensure(obj: Obj) -> Obj:
        before = present.before(obj)
        after, created = await k8s.apply(kind_of(obj), obj)
        if created is None:  # an attempt's answer got lost: what was not there before is new
            created = before is None
        same = before is not None and same_to_us(before, after)
        tally.note(after, Outcome.CREATED if created else Outcome.UNCHANGED if same else Outcome.CHANGED)
        present.remember(after)
        return after

    return await all_of([ensure(obj) for obj in objects])


async def create_once(k8s: Connection, obj: Obj, present: Present, tally: Tally) -> None:
    """Make an object unless one of that name is there; what is there is never touched. For keys and records, which must outlive every later run."""
    if present.before(obj) is not None:
        tally.note(obj, Outcome.UNCHANGED)
        return
    kind, meta = kind_of(obj), obj["metadata"]
    for _ in range(3):
        try:
            await k8s.create(kind, obj)
            outcome = Outcome.CREATED
        except AlreadyThere:
            outcome = Outcome.UNCHANGED
        except Unsure:
            # The answer got lost. Sent again it would say that the object exists, and nobody would know whether it is this one: so look.
            if not await _is_there(k8s, kind, meta["namespace"], meta["name"]):
                continue
            outcome = Outcome.CREATED
        tally.note(obj, outcome)
        present.remember({**obj, "data": None})  # of a Secret only that it is there
        return
    raise Permanent(
        f"cannot create {describe(obj)}", why="the connection broke three times before it was made", advice="run again when the API server is well"
    )


async def _is_there(k8s: Connection, kind: Kind, namespace: str, name: str) -> bool:
    try:
        await k8s.get(kind, namespace, name)
    except NotThere:
        return False
    return True


def same_to_us(before: Obj, after: Obj) -> bool:
    """Whether an apply left an object as it was, as far as people put things into it: not status, versions, and what controllers write down."""
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
