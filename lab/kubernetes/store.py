"""The lab's etcd: objects by kind, namespace and name, one version counter, a bounded history, and watchers.

Objects in the store are never changed in place: a write puts a new dict there. So lists, events and watchers share them safely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from lab.kubernetes.kind import Kind

Obj = dict[str, Any]
_CACHE = 32 * 2**20  # bytes of JSON kept


@dataclass(frozen=True, eq=False, slots=True)
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

    def __init__(self, store: Store, wants: Callable[[Event], bool], name: str = "") -> None:
        self._store = store
        self.wants = wants
        self.name = name  # of a client's watch: its request
        self.expired = False  # whether it ended because its reader is too far behind
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue()  # None: there will be no more

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        event = await self.queue.get()
        if event is None:
            raise StopAsyncIteration
        return event

    def expire(self) -> None:
        """End it as that of a reader who is too far behind."""
        self.expired = True
        self.queue.put_nowait(None)

    def close(self) -> None:
        """Stop receiving."""
        self._store.subscriptions.discard(self)
        for some in self._store.by_kind.values():
            some.discard(self)


class Store:
    """Versioned objects. Knows nothing of what they mean."""

    def __init__(self, history: int = 8_000, first_version: int = 1000) -> None:
        # The first numbers went into what is older than the lab: clients that ask for them learn that they are too late.
        self.version = first_version
        self.subscriptions: set[Subscription] = set()
        self.by_kind: dict[Kind, set[Subscription]] = {}
        self.listeners: dict[Kind | None, list[Callable[[Event], None]]] = {}
        self._objects: dict[Kind, dict[str, dict[str, Obj]]] = {}  # kind -> namespace -> name
        self._limit = history
        # One event per version without gaps, so the event of version v stands at index v - _oldest - 1.
        self._history: list[Event] = []
        self.oldest = first_version  # the oldest version whose later events are all still here
        self.versions: dict[Kind, int] = {}  # of the last write, by kind
        self._encoded: dict[str, tuple[Obj, bytes]] = {}  # by resourceVersion
        self._encoded_size = 0

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """The object, or None."""
        return self._objects.get(kind, {}).get(namespace, {}).get(name)

    def items(self, kind: Kind, namespace: str | None = None) -> list[Obj]:
        """Objects of a kind ordered by namespace and name; of all namespaces when None."""
        return _ordered(self._objects.get(kind, {}), namespace)

    def count(self, kind: Kind, namespace: str | None = None) -> int:
        """How many there are of a kind."""
        found = self._objects.get(kind, {})
        return sum(len(names) for names in found.values()) if namespace is None else len(found.get(namespace, {}))

    def put(self, kind: Kind, obj: Obj) -> Obj:
        """Write an object under its metadata's namespace and name; sets resourceVersion (in place: give a fresh dict)."""
        meta = obj["metadata"]
        objects = self._objects.setdefault(kind, {}).setdefault(meta.get("namespace", ""), {})
        old = objects.get(meta["name"])
        if old is not None:
            share(obj, old)
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        objects[meta["name"]] = obj
        self._emit(Event(kind, "MODIFIED" if old else "ADDED", obj, old, self.version))
        return obj

    def remove(self, kind: Kind, namespace: str, name: str, last: Obj | None = None) -> Obj:
        """Take an object out; gives its last state (the one given, or the one stored) with the version of the removal."""
        old = self._objects[kind][namespace].pop(name)
        self.version += 1
        last = last or old
        last = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self.version)}}
        self._emit(Event(kind, "DELETED", last, old, self.version))
        return last

    def since(self, version: int) -> list[Event]:
        """Events after a version, oldest first; Expired when some of them are forgotten."""
        if version < self.oldest:
            raise Expired(version)
        return self._history[version - self.oldest :]

    def items_at(self, kind: Kind, version: int, namespace: str | None = None) -> list[Obj]:
        """Objects of a kind as they were at a version; Expired when that is forgotten."""
        events = [event for event in self.since(version) if event.kind is kind]
        objects = {space: dict(names) for space, names in self._objects.get(kind, {}).items()} if events else self._objects.get(kind, {})
        for event in reversed(events):
            meta = event.object["metadata"]
            names = objects.setdefault(meta.get("namespace", ""), {})
            if event.old is None:
                names.pop(meta["name"], None)
            else:
                names[meta["name"]] = event.old
        return _ordered(objects, namespace)

    def compact(self) -> None:
        """Forget the whole history, as etcd does every five minutes."""
        self._history.clear()
        self.oldest = self.version

    def all_subscriptions(self) -> list[Subscription]:
        """Everybody who waits for events."""
        return [*self.subscriptions, *(one for some in self.by_kind.values() for one in some)]

    def subscribe(self, wants: Callable[[Event], bool], kind: Kind | None = None, name: str = "") -> Subscription:
        """Events from now on that `wants` says yes to; with `kind` only those of one kind are looked at."""
        subscription = Subscription(self, wants, name)
        (self.subscriptions if kind is None else self.by_kind.setdefault(kind, set())).add(subscription)
        return subscription

    def end(self, kind: Kind) -> None:
        """Tell those who wait for events of a kind that there will be no more."""
        for subscription in self.by_kind.pop(kind, set()):
            subscription.queue.put_nowait(None)

    def adopt(self, old: Kind, new: Kind) -> None:
        """Keep the objects of one kind under another from now on."""
        if (objects := self._objects.pop(old, None)) is not None:
            self._objects[new] = objects

    def listen(self, kind: Kind | None, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Have a function called within every write of a kind, or of all (it must be quick and write nothing); gives what ends that."""
        listeners = self.listeners.setdefault(kind, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def encoded(self, obj: Obj) -> bytes:
        """A stored object as JSON without kind and apiVersion (as in lists), encoded once per version."""
        version = obj["metadata"].get("resourceVersion", "")
        known = self._encoded.get(version)
        if known is not None and known[0] is obj:
            return known[1]
        data = orjson.dumps({key: value for key, value in obj.items() if key not in ("kind", "apiVersion")})
        if known is None and version:  # an object that was only answered may bear the version of another: the first one is the stored one
            self._encoded[version] = obj, data
            self._encoded_size += len(data)
            if self._encoded_size > _CACHE:
                self._forget_encoded()
        return data

    def _forget_encoded(self) -> None:
        """Drop the older half."""
        for version in list(self._encoded)[: len(self._encoded) // 2]:
            self._encoded_size -= len(self._encoded.pop(version)[1])

    def _emit(self, event: Event) -> None:
        self._history.append(event)
        self.versions[event.kind] = event.version
        if len(self._history) > self._limit * 5 // 4:  # in strides, as cutting a list moves all of it
            cut = len(self._history) - self._limit
            self.oldest = self._history[cut - 1].version
            del self._history[:cut]
        for listener in (*self.listeners.get(event.kind, ()), *self.listeners.get(None, ())):
            listener(event)
        for subscription in (*self.subscriptions, *self.by_kind.get(event.kind, ())):
            if subscription.wants(event):
                subscription.queue.put_nowait(event)


def share(new: Obj, old: Obj) -> None:
    """Make the new state of an object use the parts of the old one that are equal: a history of states then costs little memory."""
    for key, value in new.items():
        before = old.get(key)
        if value is before or before is None:
            continue
        if key == "metadata":
            share(value, before)
        elif value == before and type(value) is type(before):
            new[key] = before


def _ordered(objects: dict[str, dict[str, Obj]], namespace: str | None) -> list[Obj]:
    return list(_walk(objects, namespace))


def _walk(objects: dict[str, dict[str, Obj]], namespace: str | None) -> Iterator[Obj]:
    # In etcd the keys are `namespace/name`, and `-` comes before `/`.
    for space in sorted(objects, key=lambda name: name + "/") if namespace is None else [namespace]:
        names = objects.get(space, {})
        for name in sorted(names):
            yield names[name]
