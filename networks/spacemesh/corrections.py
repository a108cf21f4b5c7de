"""A network is deployed again, and something is asked for otherwise: what may still be put right, and what may not.

As long as a network's first deployment has not completed nobody lives in it. What can be changed without harm to disks, keys and places is then a
correction of what was begun; genesis is fixed anew when it is lost. Once it is complete, everything that differs is refused: upgrading is another
flow's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from networks.errors import Problem
from networks.spacemesh import genesis
from networks.spacemesh.node_config import format_time
from networks.spacemesh.record import NetworkRecord
from networks.spacemesh.settings import Settings

# How a network is deployed, not what it is: these may differ from run to run. Of the rest of the preset nothing is deployed yet.
_FREE = ("preset", "miners.max_at_once", "machine.", "logs.", "watch.")
# What only shows in pods, which are then made anew on the same disks; whether miners are among them.
_CORRECTABLE = {
    "images.node": True,
    "images.poet": False,
    "miners.cpu": True,
    "miners.memory": True,
    "miners.gpu": True,
    "miners.json_api": True,
    "miners.go_debug": True,
    "miners.pprof": True,
    "metrics.": True,
    "profiling.": True,
    "poets.cpu": False,
    "poets.memory": False,
    "poets.gateways": False,
    "poets.init_phase_shift_seconds": False,
}
_FIXED_BECAUSE = {
    "bootstrap": "whose genesis it has was fixed when the network was begun",
    "node_address": "the addresses of bootnodes and PoETs were fixed when the network was begun",
    "expires_after_hours": "what was made is labelled with when it expires",
    "miners.count": "miners that were made would be left over (more may be asked for)",
    "miners.bootnodes": "which miners are bootnodes, and where, was fixed when the network was begun",
    "miners.disk": "a disk's size is fixed when it is made",
    "poets.disk": "a disk's size is fixed when it is made",
    "poets.count": "which PoET a miner submits to was fixed when the network was begun",
    "volumes.": "the miners' data would be left behind",
    "node_config": "data on the miners' disks was made with it",
}
_DATA_SECTIONS = ("genesis", "post", "smeshing")  # of the node configuration: they shape what is on the disks
_CHANGED_BY = {
    "miners.count": "extend-network (to come) adds miners",
    "images.": "upgrade-network (to come) changes images, one miner after another",
    "node_config": "upgrade-network (to come) changes the configuration, one miner after another",
    "genesis_delay_minutes": "genesis is fixed once in a network's life",
}
_SAME_OR_DELETE = "ask for the same, or delete-network first"


@dataclass(frozen=True)
class Difference:
    """One setting that is asked for now and was not when the network was begun. Node configuration: `node_config.main.hdist`."""

    field: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.field}: {_short(self.was)} → {_short(self.now)}"


@dataclass(frozen=True)
class Decision:
    """What becomes of the differences: the record to go on with, what is corrected in it, and what cannot be."""

    record: NetworkRecord
    corrections: tuple[Difference, ...] = ()
    refusals: tuple[Problem, ...] = ()
    restarts_miners: bool = False


def decide(record: NetworkRecord, settings: Settings, config: Mapping[str, Any], *, now: datetime, up: int) -> Decision:
    """What may be put right in a network that was begun. `up`: how many of its miners run."""
    found = differences(record, settings, config)
    if record.completed is not None:
        return Decision(record, refusals=tuple(_refused_when_complete(each) for each in found))
    delay = [each for each in found if each.field == "genesis_delay_minutes"]
    others = [each for each in found if each not in delay]
    wrong = [each for each in others if not _correctable(each)]
    restarts = any(_restarts_miners(each) for each in others)
    missing = settings.miners.count if restarts else settings.miners.count - up
    lost = genesis.lost(settings, genesis=record.genesis, now=now, missing=missing)
    refusals = [_refused(each) for each in wrong]
    if delay and settings.bootstrap and not lost:
        refusals.append(_genesis_stays(record, delay[0]))
    if refusals or not found:
        return Decision(record, refusals=tuple(refusals))
    anew = settings.bootstrap and lost and (bool(delay) or missing > 0)
    moment = genesis.fix(now, settings.genesis_delay_minutes) if anew else record.genesis
    moved = [Difference("genesis", format_time(record.genesis), format_time(moment))] if anew else []
    corrected = record.model_copy(update={"settings": settings, "node_config": dict(config), "genesis": moment})
    return Decision(corrected, tuple([*found, *moved]), restarts_miners=restarts or anew)


def differences(record: NetworkRecord, settings: Settings, config: Mapping[str, Any]) -> list[Difference]:
    """What is asked for now and was not when the network was begun."""
    then, now = record.settings.flat(), settings.flat()
    found = [Difference(field, then.get(field), now[field]) for field in now if not field.startswith(_FREE) and then.get(field) != now[field]]
    return found + _config_differences(record.node_config, config, "node_config.")


def _config_differences(then: Mapping[str, Any], now: Mapping[str, Any], path: str) -> list[Difference]:
    found = []
    for key in sorted({*then, *now}):
        old, new = then.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _config_differences(old, new, f"{path}{key}.")
        elif old != new:
            found.append(Difference(f"{path}{key}", old, new))
    return found


def _correctable(each: Difference) -> bool:
    if each.field == "miners.count":
        return bool(each.now > each.was)
    if each.field.startswith("node_config."):
        return each.field.split(".")[1] not in _DATA_SECTIONS
    return each.field.startswith(tuple(_CORRECTABLE))


def _restarts_miners(each: Difference) -> bool:
    """Also a larger network does: every miner is told its size."""
    if each.field == "miners.count" or each.field.startswith("node_config."):
        return True
    return any(restarts for start, restarts in _CORRECTABLE.items() if each.field.startswith(start))


def _genesis_stays(record: NetworkRecord, delay: Difference) -> Problem:
    what = f"genesis is at {format_time(record.genesis)} and can still be met"
    return Problem(delay.field, what, f"ask for {delay.was} again: genesis is fixed anew only when it is lost")


def _refused(each: Difference) -> Problem:
    because = next((text for start, text in _FIXED_BECAUSE.items() if each.field.startswith(start)), "")
    return Problem(*_told(each), f"{because}: {_SAME_OR_DELETE}" if because else _SAME_OR_DELETE)


def _refused_when_complete(each: Difference) -> Problem:
    changed_by = next((text for start, text in _CHANGED_BY.items() if each.field.startswith(start)), "")
    return Problem(
        *_told(each), f"deploy-network only finishes or verifies what was begun: {_SAME_OR_DELETE}{f'; {changed_by}' if changed_by else ''}"
    )


def _told(each: Difference) -> tuple[str, str]:
    """Field and text of a problem; places inside the node configuration are no fields of the form."""
    field, dot, place = each.field.partition(".")
    inside = dot and field == "node_config"
    what = f"the network has {_short(each.was)}, asked for is {_short(each.now)}"
    return (field, f"{place}: {what}") if inside else (each.field, what)


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
