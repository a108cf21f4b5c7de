"""Waiting longer after every failure, as kubelets do it: for containers that crash and images that cannot be pulled."""

from __future__ import annotations

from dataclasses import dataclass, field

INITIAL = 10.0  # lab seconds
LONGEST = 300.0


@dataclass
class _Entry:
    delay: float
    updated: float


@dataclass
class Backoff:
    """Delays by key, in lab seconds; every moment is `clock.monotonic()`."""

    initial: float = INITIAL
    longest: float = LONGEST
    _entries: dict[str, _Entry] = field(default_factory=dict)

    def remaining(self, key: str, since: float, now: float) -> float:
        """How long still to wait after a failure at `since`; 0 when it is time to try."""
        entry = self._entries.get(key)
        if entry is None or self._is_stale(since, now):
            return 0.0
        return max(0.0, since + entry.delay - now)

    def delay(self, key: str) -> float:
        """The present delay, as messages tell it."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def next(self, key: str, since: float, now: float) -> None:
        """One more try: the delay after it is twice the one before, or the first again when the last failure is long ago."""
        entry = self._entries.get(key)
        if entry is None or self._is_stale(since, now):
            self._entries[key] = _Entry(self.initial, now)
        else:
            entry.delay = min(entry.delay * 2, self.longest)
            entry.updated = now

    def forget(self, prefix: str) -> None:
        """Drop all keys that begin so."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]

    def _is_stale(self, since: float, now: float) -> bool:
        return now - since > 2 * self.longest
