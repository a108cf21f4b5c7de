"""Waiting and trying again, on a clock that costs no time."""

from __future__ import annotations

import pytest

from networks.errors import Permanent, Transient
from tasks.retrying import retry_transient
from tasks.waiting import NotYet, wait_until
from tests.tasks.scripted import FakeClock


def after(*outcomes: Exception | str):
    """A probe with these outcomes in turn, the last one again and again."""
    left = list(outcomes)

    async def probe() -> str:
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return probe


async def test_gives_what_the_probe_gives_in_the_end() -> None:
    clock = FakeClock()
    assert await wait_until(after(NotYet("a"), Transient("b"), "done"), timeout=10, interval=2, describe="it", clock=clock) == "done"
    assert clock.slept == [2, 2]


async def test_tells_the_last_state_seen_when_time_is_up() -> None:
    clock = FakeClock()
    with pytest.raises(Permanent) as caught:
        await wait_until(after(NotYet("still pulling")), timeout=5, interval=2, describe="miner-3 to be ready", advice="look", clock=clock)
    assert "5 s for miner-3 to be ready" in str(caught.value)
    assert "still pulling" in str(caught.value)
    assert clock.now <= 5


async def test_ends_at_once_when_it_can_no_longer_succeed() -> None:
    clock = FakeClock()
    with pytest.raises(Permanent, match="no such image"):
        await wait_until(after(NotYet("x"), Permanent("no such image")), timeout=500, interval=1, describe="it", clock=clock)
    assert clock.now == 1


async def test_retry_after_counts_more_than_the_interval() -> None:
    clock = FakeClock()
    await wait_until(after(Transient("busy", retry_after=7), "ok"), timeout=20, interval=1, describe="it", clock=clock)
    assert clock.slept == [7]


async def test_retries_double_their_delay_and_honour_retry_after() -> None:
    clock = FakeClock()
    probe = after(Transient("a"), Transient("b"), Transient("c", retry_after=5), "ok")
    assert await retry_transient(probe, patience=60, first_delay=1, clock=clock, jitter=lambda: 0.5) == "ok"
    assert clock.slept == [1, 2, 5]


async def test_retries_end_with_the_last_error_when_patience_does() -> None:
    clock = FakeClock()
    with pytest.raises(Transient, match="still down"):
        await retry_transient(after(Transient("still down")), patience=10, first_delay=1, clock=clock, jitter=lambda: 0.5)
    assert clock.now <= 10


async def test_a_permanent_error_is_not_tried_again() -> None:
    clock = FakeClock()
    with pytest.raises(Permanent):
        await retry_transient(after(Permanent("no"), "ok"), patience=10, clock=clock)
    assert clock.slept == []
