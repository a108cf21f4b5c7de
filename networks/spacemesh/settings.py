"""A network's settings with every value filled in. Units are in the names; amounts of cpu, memory and disk are Kubernetes quantities.

These models are also what a network's record keeps, so a field may be added here (with a default) but not renamed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Preset(StrEnum):
    """A network's size and purpose."""

    MININET = "mininet"
    DEVNET = "devnet"
    TESTNET = "testnet"


class Frozen(BaseModel):
    """A value: never changed, only replaced."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MinerSettings(Frozen):
    """The go-spacemesh nodes."""

    count: int
    bootnodes: int
    cpu: str
    memory: str
    disk: str
    max_at_once: int = 100
    json_api: bool = True
    go_debug: bool = False
    pprof: bool = False


class PoetSettings(Frozen):
    """The proof-of-elapsed-time servers. `gateways`: how many miners each of them sends its proofs to."""

    count: int
    gateways: int
    cpu: str
    memory: str
    disk: str
    init_phase_shift_seconds: int = 0


class ImageSettings(Frozen):
    """What the containers run."""

    node: str
    poet: str


class VolumeSettings(Frozen):
    """Where data lives: on a claimed disk that outlives its pod, or in the pod."""

    kind: Literal["persistent", "ephemeral"] = "persistent"
    storage_class: str | None = None


class MachineSettings(Frozen):
    """The machines of a cluster that is made for the network. Nothing makes one yet: the node count is planned from it."""

    type: str
    cpu: int
    memory_gib: int


class LogSettings(Frozen):
    """The log stack: planned, not deployed yet. Elasticsearch (per replica) and Kibana."""

    elasticsearch_replicas: int
    elasticsearch_masters: int
    elasticsearch_cpu: str
    elasticsearch_memory: str
    elasticsearch_heap: str
    elasticsearch_disk: str
    kibana_cpu: str
    kibana_memory: str
    kept_days: int


class WatchSettings(Frozen):
    """What watches the network: planned, not deployed yet."""

    metrics: bool
    profiler: bool
    slack_alerts: bool
    chaos_mesh: bool
    vpc: bool
    profiler_cpu: str = "2"
    profiler_memory: str = "8Gi"
    prometheus_cpu: str = "2"
    prometheus_memory: str = "2Gi"


class Settings(Frozen):
    """Everything that is decided before the world is looked at."""

    name: str
    namespace: str
    preset: Preset
    bootstrap: bool
    genesis_delay_minutes: int
    expires_after_hours: int
    node_address: Literal["external", "internal"]
    miners: MinerSettings
    poets: PoetSettings
    images: ImageSettings
    volumes: VolumeSettings
    machine: MachineSettings
    logs: LogSettings
    watch: WatchSettings

    def flat(self) -> dict[str, Any]:
        """Dotted field name to value, in the order of declaration."""
        flat: dict[str, Any] = {}
        for field, value in self.model_dump(mode="json").items():
            if isinstance(value, dict):
                flat.update({f"{field}.{inner}": inner_value for inner, inner_value in value.items()})
            else:
                flat[field] = value
        return flat
