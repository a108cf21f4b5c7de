"""What is decided once in a network's life, kept in the network's namespace: a later run takes it from there instead of deciding again.

Until the network's first deployment is complete, some of it may still be corrected (see `corrections`); from then on the record stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from networks.errors import Permanent
from networks.labels import Ownership
from networks.spacemesh import node_config
from networks.spacemesh.nodes import Pin
from networks.spacemesh.settings import Frozen, Settings

RECORD_NAME = "network-record"
RECORD_KEY = "record.json"


class NetworkRecord(Frozen):
    """A network's identity: who made it when, its genesis, what it is, and which machines its bootnodes and PoETs are known by.

    `completed`: when its first deployment was complete; None until then.
    """

    version: Literal[1] = 1
    run_id: str
    created: datetime
    genesis: datetime
    settings: Settings
    node_config: dict[str, Any]
    pins: tuple[Pin, ...]
    poet_hosts: tuple[str, ...]
    completed: datetime | None = None

    @property
    def expires(self) -> datetime:
        """From when on the network may be swept away."""
        return self.created + timedelta(hours=self.settings.expires_after_hours)

    @property
    def owner(self) -> Ownership:
        """What every object of the network is labelled with."""
        return Ownership(self.settings.name, self.run_id, self.expires)

    def completed_at(self, now: datetime) -> NetworkRecord:
        """The same record, complete."""
        return self.model_copy(update={"completed": now.replace(microsecond=0)})

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
