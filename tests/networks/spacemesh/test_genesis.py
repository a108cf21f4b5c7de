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


def missed(now: datetime, missing: int, took: timedelta | None = None) -> str:
    return str(genesis.missed(SETTINGS, genesis=AT, now=now, missing=missing, took=took) or "")


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


def test_nothing_is_missed_before_genesis_or_when_all_are_up() -> None:
    assert missed(AT - timedelta(seconds=1), 10) == ""
    assert missed(AT + timedelta(hours=5), 0) == ""


def test_fault_14_a_missed_genesis_is_told_with_the_minutes_to_add() -> None:
    """Half of the miners took ten minutes, so all of them take twenty; and a margin."""
    assert missed(AT, 5, took=timedelta(minutes=10)) == (
        "Genesis was at 2026-11-22T06:06:15Z, and 5 of 10 miners were not up: 10 minutes of genesis delay were too few. "
        "Run again with genesis_delay_minutes raised by 12, to 22: genesis is then fixed anew; keys and identities are kept."
    )


@pytest.mark.parametrize(
    ("missing", "took", "minutes"),
    [
        (10, timedelta(minutes=10), 14),  # none was up: the rule of thumb, on top of the time that went by
        (10, None, 14),
        (5, None, 22),  # not known how long the others took: the whole delay
        (1, timedelta(minutes=10), 13),
        (5, timedelta(seconds=1), 11),  # taken up again at the last moment: always more than was too few
    ],
)
def test_fault_14_the_advice_comes_from_the_pace_so_far(missing: int, took: timedelta | None, minutes: int) -> None:
    assert f"raised by {minutes - 10}, to {minutes}" in missed(AT, missing, took)


@given(st.integers(1, 10), st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_is_advised_is_always_more_than_was_too_few(missing: int, late: int, took: int) -> None:
    text = missed(AT + timedelta(seconds=late), missing, timedelta(seconds=took))
    assert int(text.partition("raised by ")[2].partition(",")[0]) >= 1


def test_a_network_that_joins_another_cannot_miss_its_genesis() -> None:
    joining = resolve(network(bootstrap=False, node_config={"inline": JOINING}))
    assert genesis.missed(joining, genesis=AT, now=AT + timedelta(days=9), missing=3) is None
    assert not genesis.lost(joining, genesis=AT, now=AT + timedelta(days=9), missing=3)


@pytest.mark.parametrize(
    ("before", "missing", "lost"),
    [(0, 0, True), (1, 0, False), (1, 1, True), (130, 10, False), (129, 10, True), (-60, 0, True)],
)
def test_genesis_is_lost_when_it_has_passed_or_comes_too_soon(before: int, missing: int, lost: bool) -> None:
    """Ten miners take 130 seconds as a rule."""
    assert genesis.estimate(SETTINGS) == timedelta(seconds=130)
    assert genesis.lost(SETTINGS, genesis=AT, now=AT - timedelta(seconds=before), missing=missing) is lost
