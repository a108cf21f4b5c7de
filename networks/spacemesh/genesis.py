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


def lost(settings: Settings, *, genesis: datetime, now: datetime, missing: int) -> bool:
    """Whether a network that starts from nothing can no longer meet its genesis: it has passed, or comes before `missing` miners can be up."""
    return settings.bootstrap and (now >= genesis or (missing > 0 and now + estimate(settings) > genesis))


def missed(settings: Settings, *, genesis: datetime, now: datetime, missing: int, took: timedelta | None = None) -> Permanent | None:
    """The error to end with when genesis has come while `missing` miners were not up; None as long as nothing is lost.

    `took`: how long it took to bring the others up; None: that is not known, and the whole delay is counted. The advice takes the pace so far as
    the pace of the rest.
    """
    if now < genesis or missing <= 0 or not settings.bootstrap:
        return None
    total, delay = settings.miners.count, settings.genesis_delay_minutes
    up = total - missing
    spent = timedelta(minutes=delay) if took is None else took
    needed = max(spent * (total / up) if up else spent + estimate(settings), estimate(settings))
    enough = max(delay + 1, math.floor(needed.total_seconds() / 60) + 1 + _MARGIN_MINUTES)
    return Permanent(
        f"Genesis was at {format_time(genesis)}, and {missing} of {total} miners were not up",
        why=f"{delay} minutes of genesis delay were too few",
        advice=f"Run again with genesis_delay_minutes raised by {enough - delay}, to {enough}: "
        "genesis is then fixed anew; keys and identities are kept.",
    )
