"""A network's settings with every value filled in. Units are in the names; amounts of cpu, memory and disk are Kubernetes quantities.

These models are also what a network's record keeps, so a field may be added here (with a default) but not renamed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


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
    gpus: int = 0
    gpu_type: str = ""


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


class MetricsSettings(Frozen):
    """Whether miners serve metrics, and which push gateway they send them to besides ("": none)."""

    enabled: bool = False
    push_url: str = ""


class ProfilingSettings(Frozen):
    """The Pyroscope server ("": none), and the numbers of the miners that report to it: it does not scale, so not all of them do."""

    server_url: str = ""
    miners: tuple[int, ...] = ()


class MachineSettings(Frozen):
    """The machines of a cluster that is made for the network. Nothing makes one yet: the number of machines is planned from it."""

    type: str = Field(description="Machine type of Google Compute Engine.")
    cpu: int = Field(ge=1, le=416, description="Cores of one machine.")
    memory_gib: int = Field(ge=1, le=11776, description="Memory of one machine, in GiB.")
    accelerator_count: int = Field(default=0, ge=0, le=16, description="GPUs of one machine, of the type that the miners ask for.")
    vpc_name: str = Field(default="spacecraft", description="VPC that the cluster is put into, when one is used.")


class LogSettings(Frozen):
    """The log stack: planned, not deployed yet."""

    elasticsearch_replicas: int = Field(ge=1, le=100, description="Elasticsearch nodes.")
    elasticsearch_masters: int = Field(ge=1, le=100, description="How many of them may be elected master.")
    elasticsearch_cpu: str = Field(description="Cores of one Elasticsearch node.")
    elasticsearch_memory: str = Field(description="Memory of one Elasticsearch node.")
    elasticsearch_heap: str = Field(description="Java heap of one Elasticsearch node, as Java writes it.")
    elasticsearch_disk: str = Field(description="Disk of one Elasticsearch node.")
    kibana_cpu: str = Field(description="Cores of Kibana.")
    kibana_memory: str = Field(description="Memory of Kibana.")
    kept_days: int = Field(ge=1, le=3650, description="After how many days logs are deleted.")


class WatchSettings(Frozen):
    """What watches the network: planned, not deployed yet. Prometheus and Grafana come with the miners' metrics."""

    prometheus_cpu: str = Field(default="2", description="Cores of Prometheus.")
    prometheus_memory: str = Field(default="2Gi", description="Memory of Prometheus.")
    profiler: bool = Field(description="A Pyroscope server of the network's own.")
    profiler_cpu: str = Field(default="2", description="Cores of Pyroscope.")
    profiler_memory: str = Field(default="8Gi", description="Memory of Pyroscope.")
    slack_alerts: bool = Field(description="spacemesh-watch, which alerts to Slack.")
    watcher_image: str = Field(default="spacemeshos/spacemesh-watch:latest", description="spacemesh-watch.")
    chaos_mesh: bool = Field(description="Chaos Mesh, to break things on purpose.")
    vpc: bool = Field(description="Whether the cluster is put into a VPC.")


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
    metrics: MetricsSettings = MetricsSettings()
    profiling: ProfilingSettings = ProfilingSettings()

    def flat(self) -> dict[str, Any]:
        """Dotted field name to value, in the order of declaration."""
        flat: dict[str, Any] = {}
        for field, value in self.model_dump(mode="json").items():
            if isinstance(value, dict):
                flat.update({f"{field}.{inner}": inner_value for inner, inner_value in value.items()})
            else:
                flat[field] = value
        return flat
