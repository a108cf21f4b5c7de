"""Genesis is fixed once, and a network that misses it has failed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.spacemesh import genesis
from networks.spacemesh.model import resolve
from tests.networks.spacemesh.examples import JOINING, NOW, network

SETTINGS = resolve(network())
AT = NOW + timedelta(minutes=10)


def missed(now: datetime, missing: int) -> str:
    return str(genesis.missed(SETTINGS, genesis=AT, started=NOW, now=now, missing=missing) or "")


@given(st.integers(0, 999_999), st.integers(1, 10_000))
def test_genesis_is_on_a_whole_second_and_never_early(microsecond: int, minutes: int) -> None:
    now = NOW.replace(microsecond=microsecond)
    moment = genesis.fix(now, minutes)
    assert moment.microsecond == 0
    assert timedelta(0) <= moment - now - timedelta(minutes=minutes) < timedelta(seconds=1)


def test_a_larger_network_takes_longer() -> None:
    small, large = genesis.estimate(SETTINGS), genesis.estimate(resolve(network(preset="testnet")))
    assert small < large < timedelta(minutes=10)
    slow = resolve(network(preset="testnet", miners={"max_at_once": 1}))
    assert genesis.estimate(slow) > timedelta(minutes=40)


@pytest.mark.parametrize(("late", "minutes"), [(-1, 0), (0, 2), (59, 2), (60, 3), (601, 12)])
def test_minutes_to_add_leave_a_margin(late: int, minutes: int) -> None:
    assert genesis.minutes_missing(AT, AT + timedelta(seconds=late)) == minutes


def test_nothing_is_missed_before_genesis_or_when_all_are_up() -> None:
    assert missed(AT - timedelta(seconds=1), 10) == ""
    assert missed(AT + timedelta(hours=5), 0) == ""


def test_fault_14_a_missed_genesis_is_told_with_the_minutes_to_add() -> None:
    """Half of the miners took ten minutes, so the other half take ten more."""
    assert missed(AT, 5) == (
        "Genesis was at 2026-11-22T06:06:15Z, and 5 of 10 miners were not up: 10 minutes of genesis delay were too few. "
        "Delete the network and deploy it again with genesis_delay_minutes raised by 12, to 22."
    )


def test_fault_14_with_no_miner_up_the_advice_comes_from_the_estimate() -> None:
    assert "raised by 4, to 14" in missed(AT, 10)


def test_a_network_that_joins_another_cannot_miss_its_genesis() -> None:
    joining = resolve(network(bootstrap=False, node_config={"inline": JOINING}))
    assert genesis.missed(joining, genesis=AT, started=NOW, now=AT + timedelta(days=9), missing=3) is None
