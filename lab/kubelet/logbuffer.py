"""The log of one container run: lines with the moment they came, the newest kept when there are too many."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

# A real node keeps 10 MB a container; with hundreds of pods in one process it has to be less.
KEPT_BYTES = 1 << 20
_LINE_COST = 120  # what a line costs beside its text


class LogBuffer:
    """Lines of output. A line without its newline (the program ended in the middle of it) stays without."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept = kept_bytes
        self._lines: deque[tuple[int, bytes]] = deque()  # nanoseconds since the epoch, text
        self._size = 0
        self._dropped = 0  # lines that are no more
        self._changed: asyncio.Event | None = None  # made when somebody follows
        self.closed = False

    def append(self, data: bytes, newline: bool = True) -> None:
        """Take one line (or, with `newline` False, what came of it)."""
        text = data + b"\n" if newline else data
        self._lines.append((time.time_ns(), text))
        self._size += len(text) + _LINE_COST
        while self._size > self._kept and len(self._lines) > 1:
            _, old = self._lines.popleft()
            self._size -= len(old) + _LINE_COST
            self._dropped += 1
        self._notify()

    def close(self) -> None:
        """Nothing more comes: followers end."""
        self.closed = True
        self._notify()

    def tail(self, lines: int) -> bytes:
        """The last lines as they are."""
        return b"".join(text for _, text in list(self._lines)[-lines:])

    async def read(self, follow: bool = False, tail: int | None = None, since: float | None = None, timestamps: bool = False) -> AsyncIterator[bytes]:
        """Lines from `since` (seconds since the epoch), at most the `tail` last ones of those there now, then, if wanted, what comes."""
        start = self._dropped
        if since is not None:
            start += sum(1 for moment, _ in self._lines if moment < since * 1e9)
        end = self._dropped + len(self._lines)
        if tail is not None:
            start = max(start, end - tail)
        while True:
            chunk = self._chunk(start, timestamps)
            start = self._dropped + len(self._lines)
            if chunk:
                yield chunk
                continue
            if not follow or self.closed:
                return
            if self._changed is None:
                self._changed = asyncio.Event()
            await self._changed.wait()

    def _chunk(self, start: int, timestamps: bool) -> bytes:
        skip = max(0, start - self._dropped)
        if skip >= len(self._lines):
            return b""
        lines = list(self._lines)[skip:] if skip < len(self._lines) // 2 else [self._lines[i] for i in range(skip, len(self._lines))]
        return b"".join((_stamp(moment) + text) if timestamps else text for moment, text in lines)

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None


def _stamp(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    fraction = f"{rest:09d}".rstrip("0")
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}{'.' + fraction if fraction else ''}Z ".encode()
