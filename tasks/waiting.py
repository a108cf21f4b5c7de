"""Waiting for something out there: always with a limit, and saying what was seen last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from networks.errors import Permanent, Transient

T = TypeVar("T")


class Clock(Protocol):
    """Time as the waits need it; tests bring one that costs nothing."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        ...


class WallClock:
    """The machine's own time."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        await asyncio.sleep(seconds)


WALL = WallClock()


class NotYet(Exception):
    """What a probe raises while it must be asked again; its text is the state seen."""


async def wait_until(
    probe: Callable[[], Awaitable[T]],
    *,
    timeout: float,  # noqa: ASYNC109 - the limit is looked at between probes, so that the state seen last can be told
    interval: float,
    describe: str,
    advice: str = "",
    clock: Clock = WALL,
) -> T:
    """What `probe` gives, once it stops raising NotYet or Transient. A Permanent error ends the wait at once.

    `timeout` and `interval` are seconds; `describe` says what is waited for ("pod miner-3 to be ready").
    When time is up: Permanent, with the state seen last.
    """
    began = clock.monotonic()
    while True:
        try:
            return await probe()
        except (NotYet, Transient) as error:
            seen = str(error)
            pause = max(interval, getattr(error, "retry_after", None) or 0)
        if clock.monotonic() - began + pause > timeout:
            raise Permanent(f"waited {timeout:.0f} s for {describe}", why=f"last seen: {seen or 'nothing'}", advice=advice)
        await clock.sleep(pause)
