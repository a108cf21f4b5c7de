"""Since when pods are ready, in lab seconds: times in a status are of whole, real seconds and too coarse for `minReadySeconds`."""

from __future__ import annotations

from typing import Any

from lab.clock import Clock
from lab.controllers.objects import is_ready, uid_of
from lab.kubernetes.store import Event

Obj = dict[str, Any]


class ReadySince:
    """Told of every change of a pod, knows how long it has been ready."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def note(self, event: Event) -> None:
        """A pod has changed."""
        uid = uid_of(event.object)
        if event.type == "DELETED" or not is_ready(event.object):
            self._since.pop(uid, None)
        else:
            self._since.setdefault(uid, self._clock.monotonic())

    def available_in(self, owner: Obj, pod: Obj) -> float:
        """Lab seconds until a ready pod counts as available."""
        wanted = owner["spec"].get("minReadySeconds", 0)
        if not wanted:
            return 0
        now = self._clock.monotonic()
        return max(0.0, float(wanted) - (now - self._since.get(uid_of(pod), now)))

    def is_available(self, owner: Obj, pod: Obj) -> bool:
        """Whether a pod is ready and has been so for long enough."""
        return is_ready(pod) and self.available_in(owner, pod) == 0

    def next_look(self, owner: Obj, pods: list[Obj]) -> float | None:
        """Lab seconds until one more pod becomes available."""
        waits = [wait for pod in pods if is_ready(pod) and (wait := self.available_in(owner, pod)) > 0]
        return min(waits) + 0.01 if waits else None
