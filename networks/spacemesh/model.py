"""What somebody wants: the flow's parameter, and so the form in the UI.

Settings in which presets differ are empty here until somebody overrides them. There are no secrets in it, by design: parameters are stored and shown.
What the form offers does something; settings whose part of the deployment is still to come (log stack, cluster, alerts) live in the presets.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from networks.errors import Problem
from networks.spacemesh import node_config, rules
from networks.spacemesh.fields import (
    AcceleratorType,
    Count,
    CpuText,
    DiskText,
    FilePath,
    HttpUrl,
    ImageText,
    JsonObject,
    MemoryText,
    flatten_optionals,
    no_control_characters,
)
from networks.spacemesh.presets import NODE_CONFIGS, NODE_IMAGE, POET_IMAGE, PRESETS, PROFILED_MINERS
from networks.spacemesh.settings import (
    ImageSettings,
    MetricsSettings,
    MinerSettings,
    PoetSettings,
    Preset,
    ProfilingSettings,
    Settings,
    VolumeSettings,
)

MAX_MINERS = 5000
MAX_POETS = 100
MAX_PROFILED = 100
_ON_OFF = {True: "on", False: "off"}


def _override(path: str, title: str, text: str, **bounds: Any) -> Any:
    """A setting in which presets differ: empty means as the preset says, and the help tells what that is."""
    values: dict[Preset, Any] = dict(PRESETS)
    for part in path.split("."):
        values = {preset: getattr(value, part) for preset, value in values.items()}
    told = ", ".join(f"{preset.value} {_ON_OFF[value] if isinstance(value, bool) else value}" for preset, value in values.items())
    return Field(default=None, title=title, description=f"{text} Empty: as the preset says ({told}).", **bounds)


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=flatten_optionals, str_strip_whitespace=True, validate_default=False)


class NodeConfigChoice(_Form):
    """The node's own configuration. Fill in one of the first three, or none: then the preset's own small configuration is used."""

    inline: JsonObject | None = Field(
        default=None, title="Configuration", description="The go-spacemesh configuration as a JSON object (sections main, p2p, hare, post, …)."
    )
    file: FilePath | None = Field(
        default=None, title="File", max_length=4096, description="Path of a JSON file, as seen by the process that runs the flow."
    )
    url: HttpUrl | None = Field(
        default=None,
        title="URL",
        max_length=2048,
        description="http(s) address of a JSON file, for example another network's published configuration. No passwords in it.",
    )
    overrides: JsonObject | None = Field(
        default=None,
        title="Changes to it",
        description='Merged into the configuration, whichever it is; null removes a key. Example: {"main": {"layer-duration-sec": 30}}',
    )


class MinerOptions(_Form):
    """The go-spacemesh nodes."""

    count: Count | None = _override("miners.count", "Miners", "How many nodes, the bootstrap node and bootnodes included.", ge=1, le=MAX_MINERS)
    bootnodes: Count | None = _override(
        "miners.bootnodes",
        "Bootnodes",
        "How many miners every other miner knows from the start. The bootstrap node is not one of them.",
        ge=0,
        le=1000,
    )
    cpu: CpuText | None = _override("miners.cpu", "CPU of a miner", "Cores, like 1 or 100m.", examples=["100m", "2"])
    memory: MemoryText | None = _override(
        "miners.memory", "Memory of a miner", "Bytes with a unit, like 2Gi. More use ends the miner.", examples=["2Gi"]
    )
    disk: DiskText | None = _override("miners.disk", "Disk of a miner", "Bytes with a unit, like 10Gi.", examples=["10Gi"])
    max_at_once: Count = Field(
        default=100,
        title="Miners deployed at once",
        ge=1,
        le=1000,
        description="How many miners may be starting at the same time (bootnodes always start together).",
    )
    json_api: bool = Field(default=True, title="JSON API", description="Serve the JSON gateway (port 7000) next to gRPC.")
    go_debug: bool = Field(
        default=False,
        title="Go runtime trace",
        description="Trace garbage collection and memory into the log (GODEBUG gctrace, scavtrace, gcpacertrace).",
    )
    pprof: bool = Field(
        default=False, title="Go profiling", description="Serve Go's pprof (port 6060) on every miner. Profiling with a server includes it."
    )
    gpus: Count = Field(default=0, title="GPUs of a miner", ge=0, le=16, description="How many GPUs each miner gets to itself (nvidia.com/gpu).")
    gpu_type: AcceleratorType | None = Field(
        default=None,
        title="Type of GPU",
        max_length=63,
        description="Accelerator type that the miners' machines must have (node label cloud.google.com/gke-accelerator). Empty: any.",
        examples=["nvidia-tesla-t4"],
    )


class PoetOptions(_Form):
    """The proof-of-elapsed-time servers."""

    count: Count | None = _override("poets.count", "PoETs", "How many servers. Miners are given one of them in turn.", ge=1, le=MAX_POETS)
    gateways: Count | None = _override(
        "poets.gateways", "Gateways", "How many miners, from the first on, each PoET sends its proofs to.", ge=1, le=MAX_MINERS
    )
    cpu: CpuText | None = _override("poets.cpu", "CPU of a PoET", "Cores, like 1 or 100m.", examples=["1"])
    memory: MemoryText | None = _override("poets.memory", "Memory of a PoET", "Bytes with a unit, like 2Gi.", examples=["2Gi"])
    disk: DiskText | None = _override("poets.disk", "Disk of a PoET", "Bytes with a unit, like 10Gi.", examples=["10Gi"])
    init_phase_shift_seconds: Count | None = _override(
        "poets.init_phase_shift_seconds",
        "Initial phase shift (seconds)",
        "How much later than the one before it each PoET ends its first round.",
        ge=0,
        le=30 * 24 * 3600,
    )


class ImageOptions(_Form):
    """Container images."""

    node: ImageText = Field(
        default=NODE_IMAGE, title="Node image", max_length=500, description="go-spacemesh, like spacemeshos/go-spacemesh-dev:TAG."
    )
    poet: ImageText = Field(default=POET_IMAGE, title="PoET image", max_length=500, description="The PoET server.")


class MetricsOptions(_Form):
    """What miners tell about themselves, in numbers."""

    enabled: bool | None = _override("metrics.enabled", "Metrics", "Serve metrics on every miner (port 1010, inside the cluster) for Prometheus.")
    push_url: HttpUrl | None = Field(
        default=None,
        title="Push gateway",
        max_length=2048,
        description="http(s) address of a Prometheus push gateway that miners send their metrics to besides. Empty: none. No passwords in it.",
        examples=["http://pushgateway.metrics:9091"],
    )


class ProfilingOptions(_Form):
    """Continuous profiles of miners, collected by a Pyroscope server that is there already."""

    server_url: HttpUrl | None = Field(
        default=None,
        title="Pyroscope server",
        max_length=2048,
        description="http(s) address of the server that profiles are sent to. Empty: none. No passwords in it.",
        examples=["http://pyroscope.metrics:4040"],
    )
    miners: list[Annotated[Count, Field(ge=1, le=MAX_MINERS)]] | None = Field(
        default=None,
        title="Profiled miners",
        min_length=1,
        max_length=MAX_PROFILED,
        description="Numbers of the miners that send profiles: the server does not scale to all of them. "
        f"Empty: {' and '.join(map(str, PROFILED_MINERS))}, as far as they exist.",
    )


class VolumeOptions(_Form):
    """Where miners and PoETs keep their data."""

    kind: Literal["persistent", "ephemeral"] = Field(
        default="persistent",
        title="Kind of volume",
        description="persistent: a disk that outlives its pod. ephemeral: gone with the pod; a restarted miner is then a new one.",
    )
    storage_class: str | None = Field(
        default=None, title="Storage class", max_length=253, description="StorageClass of the disks. Empty: the cluster's default."
    )


class SpacemeshNetwork(_Form):
    """A Spacemesh network: what to deploy. Everything empty is as the preset says."""

    name: Annotated[str, no_control_characters] = Field(
        title="Name",
        min_length=1,
        max_length=40,
        pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
        description="The network's name: a-z, 0-9 and '-', beginning with a letter. Namespace, hosts and published files are named after it.",
        examples=["devnet-228"],
    )
    preset: Literal["mininet", "devnet", "testnet"] = Field(
        default="mininet", title="Preset", description="Sizes to begin with: mininet to try, devnet to develop, testnet for the public."
    )
    bootstrap: bool = Field(
        default=True,
        title="Start from nothing",
        description="On: a new network with a genesis of its own. Off: these miners join another network, whose configuration must be given "
        "(with genesis time and bootnodes).",
    )
    genesis_delay_minutes: Count = Field(
        default=10,
        title="Genesis delay (minutes)",
        ge=1,
        le=7 * 24 * 60,
        description="From the start of the flow until the network's genesis: every miner must be up by then.",
    )
    expires_after_hours: Count | None = _override(
        "expires_after_hours", "Expires after (hours)", "From when on the network may be swept away.", ge=1, le=10 * 365 * 24
    )
    namespace: str | None = Field(
        default=None, title="Namespace", max_length=63, description="Kubernetes namespace of its own for the network. Empty: the network's name."
    )
    node_address: Literal["external", "internal"] = Field(
        default="external",
        title="Addresses",
        description="Which of a worker node's addresses miners are known by. external falls back to the internal one where a node has no other.",
    )
    node_config: NodeConfigChoice = Field(default=NodeConfigChoice(), title="Node configuration", description="go-spacemesh's own configuration.")
    miners: MinerOptions = Field(default=MinerOptions(), title="Miners", description="The go-spacemesh nodes.")
    poets: PoetOptions = Field(default=PoetOptions(), title="PoETs", description="The proof-of-elapsed-time servers.")
    images: ImageOptions = Field(default=ImageOptions(), title="Images", description="Container images.")
    metrics: MetricsOptions = Field(default=MetricsOptions(), title="Metrics", description="What miners tell about themselves, in numbers.")
    profiling: ProfilingOptions = Field(default=ProfilingOptions(), title="Profiling", description="Profiles of miners, sent to a Pyroscope server.")
    volumes: VolumeOptions = Field(default=VolumeOptions(), title="Volumes", description="Where miners and PoETs keep their data.")

    @model_validator(mode="wrap")
    @classmethod
    def _all_mistakes_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Fields first, then what they mean together; a mistake in one field hides none of the others."""
        try:
            network = handler(data)
        except ValidationError as error:
            rest = rules.without_mistakes(data, error)
            try:
                problems = _problems(handler(rest)) if rest is not None else []
            except ValidationError:
                problems = []
            raise rules.together(cls.__name__, error, problems, data) from None
        problems = _problems(network)
        if problems:
            raise rules.together(cls.__name__, None, problems, data)
        return network


def resolve(network: SpacemeshNetwork) -> Settings:
    """Every value filled in: overrides over the preset."""
    preset = PRESETS[Preset(network.preset)]

    def merged(base: Any, options: BaseModel) -> dict[str, Any]:
        given = {field: value for field, value in options.model_dump().items() if value is not None}
        return {**base.model_dump(), **given}

    miners = MinerSettings(**merged(preset.miners, network.miners))
    return Settings(
        name=network.name,
        namespace=network.namespace or network.name,
        preset=Preset(network.preset),
        bootstrap=network.bootstrap,
        genesis_delay_minutes=network.genesis_delay_minutes,
        expires_after_hours=network.expires_after_hours or preset.expires_after_hours,
        node_address=network.node_address,
        miners=miners,
        poets=PoetSettings(**merged(preset.poets, network.poets)),
        images=ImageSettings(**network.images.model_dump()),
        volumes=VolumeSettings(**network.volumes.model_dump()),
        machine=preset.machine,
        logs=preset.logs,
        watch=preset.watch,
        metrics=MetricsSettings(**merged(preset.metrics, network.metrics)),
        profiling=_profiling(network.profiling, miners.count),
    )


def _profiling(options: ProfilingOptions, miners: int) -> ProfilingSettings:
    default = [number for number in PROFILED_MINERS if number <= miners] if options.server_url else []
    chosen = default if options.miners is None else options.miners
    return ProfilingSettings(server_url=options.server_url or "", miners=tuple(sorted(set(chosen))))


def _problems(network: SpacemeshNetwork) -> list[Problem]:
    choice = network.node_config
    given = {"inline": choice.inline, "file": choice.file, "url": choice.url}
    problems = rules.settings_problems(resolve(network)) + rules.choice_problems(network.bootstrap, {k for k, v in given.items() if v is not None})
    preset_used = not any(value is not None for value in given.values()) and network.bootstrap
    known = NODE_CONFIGS[Preset(network.preset)] if preset_used else choice.inline
    if known is not None:
        where = "node_config.inline" if choice.inline is not None else "node_config"
        merged = node_config.merge(known, choice.overrides or {})
        problems += node_config.problems(merged, bootstrap=network.bootstrap, miners=resolve(network).miners.count, where=where)
    return problems


__all__ = [
    "ImageOptions",
    "MetricsOptions",
    "MinerOptions",
    "NodeConfigChoice",
    "PoetOptions",
    "ProfilingOptions",
    "SpacemeshNetwork",
    "VolumeOptions",
    "resolve",
]
