"""Time in the lab: timestamps are the machine's own, durations run `speed` times as fast."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """Gives UTC timestamps, and waits that are `speed` times shorter than asked."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = speed

    def now(self) -> datetime:
        """The machine's own time. Never scaled: clients compare it with theirs."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Lab seconds since some fixed moment: differences are durations in lab time."""
        return time.monotonic() * self.speed

    def real(self, seconds: float) -> float:
        """How many real seconds so many lab seconds take."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Sleep for so many lab seconds."""
        await asyncio.sleep(seconds / self.speed)


def timestamp(moment: datetime) -> str:
    """`2026-11-22T05:56:15Z`: Kubernetes' `Time`, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(moment: datetime) -> str:
    """`2026-11-22T05:56:15.123456Z`: Kubernetes' `MicroTime`, always six decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
