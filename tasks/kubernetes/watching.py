"""A list of objects, kept up to date by one watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from networks.errors import Permanent, Transient
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.errors import Expired
from tasks.kubernetes.kinds import Kind, Obj, name_of
from tasks.waiting import WALL, Clock


class Mirror:
    """The objects of one kind in one namespace, as the cluster has them now: name to object."""

    def __init__(self, k8s: Connection, kind: Kind, namespace: str, labels: str, changed: Callable[[], None], clock: Clock = WALL) -> None:
        self.objects: dict[str, Obj] = {}
        self.trouble: Transient | None = None  # why the mirror is blind at the moment
        self.blind_since = 0.0  # when that began, by the clock
        self.failed: Permanent | None = None  # why it will stay blind
        self._k8s = k8s
        self._kind, self._namespace, self._labels = kind, namespace, labels
        self._changed = changed
        self._clock = clock
        self._version = ""

    async def fill(self) -> None:
        """List everything."""
        objects, self._version = await self._k8s.find(self._kind, self._namespace, self._labels)
        self.objects = {name_of(obj): obj for obj in objects}
        self._changed()

    async def follow(self) -> None:
        """Take in every change, until cancelled or refused for good (`failed` says why)."""
        try:
            await self._follow()
        except Permanent as error:
            self.failed = error
            self._changed()

    async def _follow(self) -> None:
        # Watches end when the server likes: this goes on from the version seen last, or lists anew when that is too old.
        while True:
            try:
                async for event, obj in self._k8s.watch(self._kind, self._namespace, self._version, self._labels, begun=self._see):
                    self._take(event, obj)
                await self._clock.sleep(0.1)  # ended by its time-out: not a fault
            except Expired:
                try:
                    await self.fill()
                except Transient as error:
                    self._lose(error)
            except Transient as error:
                self._lose(error)
                await self._clock.sleep(max(0.5, error.retry_after or 0))

    def blind_for(self) -> float:
        """For how many seconds nothing was to be seen."""
        return self._clock.monotonic() - self.blind_since if self.trouble else 0.0

    def _see(self) -> None:
        self.trouble = None

    def _lose(self, error: Transient) -> None:
        if self.trouble is None:
            self.blind_since = self._clock.monotonic()
        self.trouble = error

    def _take(self, event: str, obj: Obj) -> None:
        self._version = obj["metadata"]["resourceVersion"]
        if event == "BOOKMARK":
            return
        if event == "DELETED":
            self.objects.pop(name_of(obj), None)
        else:
            self.objects[name_of(obj)] = obj
        self._changed()


@asynccontextmanager
async def mirrors(
    k8s: Connection, kinds: tuple[Kind, ...], namespace: str, labels: str, clock: Clock = WALL
) -> AsyncIterator[tuple[tuple[Mirror, ...], asyncio.Event]]:
    """Mirrors of several kinds, filled, and an event that is set at every change: clear it, look, wait for it."""
    changed = asyncio.Event()
    all_mirrors = tuple(Mirror(k8s, kind, namespace, labels, changed.set, clock) for kind in kinds)
    await asyncio.gather(*(mirror.fill() for mirror in all_mirrors))
    followers = [asyncio.create_task(mirror.follow()) for mirror in all_mirrors]
    try:
        yield all_mirrors, changed
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
