"""What is fixed once in a network's life, kept in the network's namespace: a later run takes it from there instead of deciding again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from networks.errors import Permanent, Problem
from networks.labels import Ownership
from networks.spacemesh import node_config
from networks.spacemesh.nodes import Pin
from networks.spacemesh.settings import Frozen, Settings

RECORD_NAME = "network-record"
RECORD_KEY = "record.json"

# How a network is deployed, not what it is: these may differ from run to run. Of the rest of the preset nothing is deployed yet.
_FREE = ("preset", "miners.max_at_once", "machine.", "logs.", "watch.")
_CHANGED_BY = {
    "miners.count": "extend-network (to come) adds miners",
    "images.": "upgrade-network (to come) changes images, one miner after another",
    "node_config": "upgrade-network (to come) changes the configuration, one miner after another",
    "genesis_delay_minutes": "genesis is fixed once in a network's life",
}


class NetworkRecord(Frozen):
    """A network's identity: who made it when, its genesis, what it is, and which machines its bootnodes and PoETs are known by."""

    version: Literal[1] = 1
    run_id: str
    created: datetime
    genesis: datetime
    settings: Settings
    node_config: dict[str, Any]
    pins: tuple[Pin, ...]
    poet_hosts: tuple[str, ...]

    @property
    def expires(self) -> datetime:
        """From when on the network may be swept away."""
        return self.created + timedelta(hours=self.settings.expires_after_hours)

    @property
    def owner(self) -> Ownership:
        """What every object of the network is labelled with."""
        return Ownership(self.settings.name, self.run_id, self.expires)

    def to_config_map_data(self) -> dict[str, str]:
        """The data of the ConfigMap that keeps it."""
        return {RECORD_KEY: node_config.dump(self.model_dump(mode="json"))}


def read_record(config_map: Mapping[str, Any]) -> NetworkRecord:
    """The record in a ConfigMap object. Permanent when it cannot be read: nothing is decided a second time."""
    where = f"{config_map.get('metadata', {}).get('namespace', '')}/{RECORD_NAME}"
    advice = "Deploy with the version of cosmodrome that made the network, or delete the network."
    text = (config_map.get("data") or {}).get(RECORD_KEY)
    if not isinstance(text, str):
        raise Permanent(f"The network's record, ConfigMap {where}, has no {RECORD_KEY}", advice=advice)
    try:
        return NetworkRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Permanent(f"The network's record, ConfigMap {where}, cannot be read", why=f"{place}: {first['msg']}", advice=advice) from None


def differences(record: NetworkRecord, settings: Settings, config: Mapping[str, Any]) -> list[Problem]:
    """What is asked for now and was not when the network was made, each with what would change it."""
    then, now = record.settings.flat(), settings.flat()
    fields = [field for field in now if not field.startswith(_FREE) and then.get(field) != now[field]]
    found = [Problem(field, f"the network has {then.get(field)!r}, asked for is {now[field]!r}", _advice(field)) for field in fields]
    return found + [
        Problem("node_config", f"{path}: the network has {_short(old)}, asked for is {_short(new)}", _advice("node_config"))
        for path, old, new in _config_differences(record.node_config, config)
    ]


def _advice(field: str) -> str:
    changed_by = next((text for start, text in _CHANGED_BY.items() if field.startswith(start)), "")
    return (
        f"deploy-network only finishes or verifies what was begun: ask for the same, or delete-network first{f'; {changed_by}' if changed_by else ''}"
    )


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _config_differences(then: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[tuple[str, Any, Any]]:
    found = []
    for key in sorted({*then, *now}):
        old, new = then.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _config_differences(old, new, f"{path}{key}.")
        elif old != new:
            found.append((f"{path}{key}", old, new))
    return found
