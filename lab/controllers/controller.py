"""What every controller is made of: objects found by an index, a queue of names to look at, and one task that works it off.

Unlike a real controller these read the store itself, so they never act on stale knowledge and need no expectations. What stays the same: an event
only puts a name on a queue, and one look at a name does everything that is to do.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from itertools import count
from typing import Any, Generic, TypeVar

from lab.clock import Clock
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kind import Kind
from lab.kubernetes.registry import Registry
from lab.kubernetes.store import Event, Store

Obj = dict[str, Any]
Key = tuple[str, str]  # namespace, name
K = TypeVar("K", bound=Hashable)

log = logging.getLogger("lab.controllers")

# A set of a thousand pods changes with every one of them; looking at all of them each time would take all the time there is.
_LONG_LOOK = 0.005  # seconds of this thread's own work: a busy machine makes no look long
_REST = 4.0  # times as long as it took


class Index:
    """Objects of one kind by some property, always as fresh as the store."""

    def __init__(self, store: Store, kind: Kind, keys_of: Callable[[Obj], Iterable[Hashable]]) -> None:
        self._keys_of = keys_of
        self._found: dict[Hashable, dict[Key, Obj]] = {}
        for obj in store.items(kind):
            self._add(obj)
        self.close = store.listen(kind, self._changed)

    def get(self, key: Hashable) -> list[Obj]:
        """Objects with this property, in the order in which they came to have it."""
        return list(self._found.get(key, {}).values())

    def _changed(self, event: Event) -> None:
        if event.old is not None:
            self._move(event)
        elif event.type != "DELETED":
            self._add(event.object)

    def _move(self, event: Event) -> None:
        assert event.old is not None
        old_keys = set(self._keys_of(event.old))
        new_keys = set(self._keys_of(event.object)) if event.type != "DELETED" else set()
        name = key_of(event.object)
        for key in old_keys - new_keys:
            if (objects := self._found.get(key)) is not None:
                objects.pop(name, None)
                if not objects:
                    del self._found[key]
        for key in new_keys:
            self._found.setdefault(key, {})[name] = event.object

    def _add(self, obj: Obj) -> None:
        for key in self._keys_of(obj):
            self._found.setdefault(key, {})[key_of(obj)] = obj


class WorkQueue(Generic[K]):
    """Names to look at, each at most once, soon or after some lab seconds."""

    def __init__(self, clock: Clock, first_delay: float = 0.005, longest_delay: float = 1000.0) -> None:
        self._clock = clock
        self._first, self._longest = first_delay, longest_delay
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._planned: dict[K, float] = {}
        self._numbers = count()
        self._failures: dict[K, int] = {}
        self._resting: dict[K, float] = {}  # until when
        self._wake = asyncio.Event()

    def add(self, key: K) -> None:
        """Look at this soon."""
        if key in self._resting and (left := self._rests(key)):
            self.add_after(key, left)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Look at this after so many lab seconds; the earliest such wish stands."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if key in self._planned and self._planned[key] <= due:
            return
        self._planned[key] = due
        heapq.heappush(self._later, (due, next(self._numbers), key))
        self._wake.set()

    def rest(self, key: K, real_seconds: float) -> None:
        """Leave a name alone for so long, whatever is put on the queue: it comes when the time is over."""
        self._resting[key] = self._clock.monotonic() + real_seconds / self._clock.real(1.0)

    def _rests(self, key: K) -> float:
        """For how many lab seconds still; 0: it does not."""
        left = self._resting[key] - self._clock.monotonic()
        if left <= 0:
            self._resting.pop(key, None)
        return max(left, 0.0)

    def retry(self, key: K) -> None:
        """Look again after a delay that doubles with every failure in a row."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._longest, self._first * 2.0 ** min(failures, 40)))

    def forget(self, key: K) -> None:
        """It went well: the next failure is the first again."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next name, as soon as there is one."""
        while True:
            self._wake.clear()
            due = self._take_due()
            if self._ready:
                key = self._ready.popleft()
                self._waiting.discard(key)
                return key
            try:
                async with asyncio.timeout(None if due is None else self._clock.real(due)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _take_due(self) -> float | None:
        """Make ready what is due; gives how many lab seconds remain to the next one."""
        now = self._clock.monotonic()
        while self._later:
            due, _, key = self._later[0]
            if due > now:
                return due - now
            heapq.heappop(self._later)
            if self._planned.get(key) == due:
                del self._planned[key]
                self.add(key)
        return None


class Controller:
    """Base of controllers: which kinds matter (`watches`), which names an event touches (`on_event`), what to do with one (`sync`)."""

    watches: tuple[Kind, ...] = ()

    def __init__(self, registry: Registry, queue: WorkQueue[Key] | None = None) -> None:
        self.registry = registry
        self.store = registry.store
        self.clock = registry.clock
        self.queue: WorkQueue[Key] = queue or WorkQueue(registry.clock)
        self._indexes: list[Index] = []

    def index(self, kind: Kind, keys_of: Callable[[Obj], Iterable[Hashable]]) -> Index:
        """An index that lives as long as the controller runs."""
        index = Index(self.store, kind, keys_of)
        self._indexes.append(index)
        return index

    def on_event(self, event: Event) -> None:
        """Put what this event touches on the queue. Called within the write: no writing here."""
        self.queue.add(key_of(event.object))

    def sync(self, key: Key) -> None:
        """Bring the world closer to what this object asks for."""
        raise NotImplementedError

    async def run(self) -> None:
        """Work until cancelled."""
        for kind in self.watches:
            for obj in self.store.items(kind):
                self._hear(Event(kind, "ADDED", obj, None, self.store.version))
        stops = [self.store.listen(kind, self._hear) for kind in self.watches]
        try:
            while True:
                key = await self.queue.get()
                began = time.thread_time()
                self._try(key)
                spent = time.thread_time() - began
                if spent > _LONG_LOOK:
                    self.queue.rest(key, spent * _REST)
                await asyncio.sleep(0)  # between two looks others have their turn
        finally:
            for stop in (*stops, *(index.close for index in self._indexes)):
                stop()

    def _hear(self, event: Event) -> None:
        try:
            self.on_event(event)
        except Exception:  # a fault here must not break the write that is going on
            log.exception("%s: event of %s %s", type(self).__name__, event.kind.kind, key_of(event.object))

    def _try(self, key: Key) -> None:
        try:
            self.sync(key)
        except ApiError as error:
            log.debug("%s: %s: %s", type(self).__name__, key, error)
            self.queue.retry(key)
        except Exception:
            log.exception("%s: %s", type(self).__name__, key)
            self.queue.retry(key)
        else:
            self.queue.forget(key)


def key_of(obj: Obj) -> Key:
    """Namespace ("" for cluster-wide kinds) and name."""
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]
