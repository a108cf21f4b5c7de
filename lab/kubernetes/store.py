"""The lab's etcd: objects by kind, namespace and name, one version counter, a bounded history, and watchers.

Objects in the store are never changed in place: a write puts a new dict there. So lists, events and watchers share them safely.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lab.kubernetes.kinds import Kind

Obj = dict[str, Any]
Key = tuple[str, str]  # namespace ("" for cluster-wide kinds), name


@dataclass(frozen=True)
class Event:
    """One write: what kind, what happened, the object after and before it, and the version the write made."""

    kind: Kind
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Obj  # for DELETED: the last state, carrying the version of the delete
    old: Obj | None
    version: int


class Expired(Exception):
    """The version asked for is older than the history kept."""


class Subscription:
    """A queue of events that somebody reads: `async for event in subscription`. Close it, or it grows."""

    def __init__(self, store: Store, wants: Callable[[Event], bool]) -> None:
        self._store = store
        self.wants = wants
        self.queue: asyncio.Queue[Event] = asyncio.Queue()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        return await self.queue.get()

    def close(self) -> None:
        """Stop receiving."""
        self._store.subscriptions.discard(self)


class Store:
    """Versioned objects. Knows nothing of what they mean."""

    def __init__(self, history: int = 20_000, first_version: int = 1) -> None:
        self.version = first_version
        self.subscriptions: set[Subscription] = set()
        self._objects: dict[Kind, dict[Key, Obj]] = {}
        self._history: deque[Event] = deque(maxlen=history)
        self._oldest = first_version  # the oldest version whose later events are all still here

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """The object, or None."""
        return self._objects.get(kind, {}).get((namespace, name))

    def items(self, kind: Kind, namespace: str | None = None) -> list[Obj]:
        """Objects of a kind ordered by namespace and name; of all namespaces when None."""
        found = self._objects.get(kind, {})
        return [found[key] for key in sorted(found) if namespace is None or key[0] == namespace]

    def count(self, kind: Kind) -> int:
        """How many there are of a kind."""
        return len(self._objects.get(kind, {}))

    def put(self, kind: Kind, obj: Obj) -> Obj:
        """Write an object under its metadata's namespace and name; sets resourceVersion (in place: give a fresh dict)."""
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        objects = self._objects.setdefault(kind, {})
        old = objects.get(key)
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        objects[key] = obj
        self._emit(Event(kind, "MODIFIED" if old else "ADDED", obj, old, self.version))
        return obj

    def remove(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Take an object out; gives its last state with the version of the removal."""
        old = self._objects[kind].pop((namespace, name))
        self.version += 1
        last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
        self._emit(Event(kind, "DELETED", last, old, self.version))
        return last

    def since(self, version: int) -> Iterator[Event]:
        """Events after a version, oldest first; Expired when some of them are forgotten."""
        if version < self._oldest:
            raise Expired(version)
        return (event for event in list(self._history) if event.version > version)

    def items_at(self, kind: Kind, version: int, namespace: str | None = None) -> list[Obj]:
        """Objects of a kind as they were at a version; Expired when that is forgotten."""
        objects = dict(self._objects.get(kind, {}))
        for event in reversed(list(self.since(version))):
            if event.kind is kind:
                meta = event.object["metadata"]
                key = (meta.get("namespace", ""), meta["name"])
                if event.old is None:
                    objects.pop(key, None)
                else:
                    objects[key] = event.old
        return [objects[key] for key in sorted(objects) if namespace is None or key[0] == namespace]

    def compact(self) -> None:
        """Forget the whole history, as etcd does every five minutes."""
        self._history.clear()
        self._oldest = self.version

    def subscribe(self, wants: Callable[[Event], bool]) -> Subscription:
        """Events from now on that `wants` says yes to."""
        subscription = Subscription(self, wants)
        self.subscriptions.add(subscription)
        return subscription

    def _emit(self, event: Event) -> None:
        if len(self._history) == self._history.maxlen:
            self._oldest = self._history[0].version
        self._history.append(event)
        for subscription in self.subscriptions:
            if subscription.wants(event):
                subscription.queue.put_nowait(event)
