"""When pods ended and how long a job waits before it tries again. Times in a status are of whole, real seconds: too coarse for a quick lab."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.clock import Clock
from lab.controllers.objects import is_deleting, is_finished, uid_of

Obj = dict[str, Any]

_FIRST, _LONGEST = 10.0, 600.0  # lab seconds


class EndTimes:
    """When pods ended, or were asked to, in lab seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended: dict[str, float] = {}
        self._asked: dict[str, float] = {}

    def note(self, pod: Obj, gone: bool) -> None:
        """A pod has changed."""
        uid = uid_of(pod)
        if gone:
            self._ended.pop(uid, None)
            self._asked.pop(uid, None)
        elif uid not in self._ended and _has_ended(pod):
            self._ended[uid] = self._clock.monotonic()
        elif is_deleting(pod):
            self._asked.setdefault(uid, self._clock.monotonic())

    def of(self, pod: Obj) -> float:
        """The lab second at which a pod's containers ended."""
        uid = uid_of(pod)
        return self._ended.get(uid) or self._asked.get(uid) or self._clock.monotonic()


def _has_ended(pod: Obj) -> bool:
    if is_finished(pod):
        return True
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return bool(statuses) and all("terminated" in one.get("state", {}) for one in statuses)


def delay(failures: int) -> float:
    """Lab seconds from a pod's end to the next attempt, after so many failures in a row."""
    return min(_LONGEST, _FIRST * 2.0 ** min(failures - 1, 30)) if failures > 0 else 0.0


@dataclass(frozen=True)
class Backoff:
    """Failures of a job since a pod last succeeded."""

    failures: int = 0
    last: float = 0.0  # lab second of the last failure

    def after(self, succeeded: Iterable[Obj], failed: Iterable[Obj], ends: EndTimes) -> Backoff:
        """With pods that have ended since."""
        success = max((ends.of(pod) for pod in succeeded), default=None)
        times = [ends.of(pod) for pod in failed]
        if success is not None:
            times = [time for time in times if time > success]
        before = self.failures if success is None else 0
        return Backoff(before + len(times), max(times, default=self.last))

    def remaining(self, now: float) -> float:
        """Lab seconds until a pod may be made; 0 or less: now."""
        return self.last + delay(self.failures) - now if self.failures else 0.0
