"""Genesis: fixed once, and a network that is not up by then has failed, however well it runs."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from networks.errors import Permanent
from networks.spacemesh.node_config import format_time
from networks.spacemesh.settings import Settings

_STAGE = timedelta(seconds=30)  # pulling an image, attaching a disk, starting: what any group of pods takes at least
_EACH = timedelta(seconds=1)  # and what every further miner adds
_MARGIN_MINUTES = 1


def fix(now: datetime, delay_minutes: int) -> datetime:
    """The genesis of a network that is begun now, on a whole second."""
    moment = now + timedelta(minutes=delay_minutes)
    return moment if moment.microsecond == 0 else moment.replace(microsecond=0) + timedelta(seconds=1)


def estimate(settings: Settings) -> timedelta:
    """How long a deployment takes at least, as a rule: a stage each for PoETs, bootstrap node, bootnodes and every batch of ordinary miners."""
    miners = settings.miners
    ordinary = miners.count - miners.bootnodes - int(settings.bootstrap)
    stages = 1 + int(settings.bootstrap) + int(miners.bootnodes > 0) + math.ceil(max(0, ordinary) / miners.max_at_once)
    return stages * _STAGE + miners.count * _EACH


def minutes_missing(genesis: datetime, ready: datetime) -> int:
    """By how many minutes the genesis delay must be raised for a network that is only ready then. 0: it is early enough."""
    late = (ready - genesis).total_seconds()
    return 0 if late < 0 else math.floor(late / 60) + 1 + _MARGIN_MINUTES


def missed(settings: Settings, *, genesis: datetime, started: datetime, now: datetime, missing: int) -> Permanent | None:
    """The error to end with when genesis has come while `missing` miners were not up; None as long as nothing is lost.

    The advice takes the pace so far as the pace of the rest.
    """
    if now < genesis or missing <= 0 or not settings.bootstrap:
        return None
    total = settings.miners.count
    up = total - missing
    rest = (now - started) * (missing / up) if up else estimate(settings)
    delay = settings.genesis_delay_minutes + minutes_missing(genesis, now + rest)
    return Permanent(
        f"Genesis was at {format_time(genesis)}, and {missing} of {total} miners were not up",
        why=f"{settings.genesis_delay_minutes} minutes of genesis delay were too few",
        advice=f"Delete the network and deploy it again with genesis_delay_minutes raised by {delay - settings.genesis_delay_minutes}, to {delay}.",
    )
