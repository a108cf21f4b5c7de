"""The presets: what a network is unless somebody says otherwise. A row here is a row of the form's defaults.

Sizes come from networks as they were really run. The node configurations are small on purpose: what they leave out, the node decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from networks.spacemesh.settings import Frozen, LogSettings, MachineSettings, MetricsSettings, MinerSettings, PoetSettings, Preset, WatchSettings

NODE_IMAGE = "spacemeshos/go-spacemesh-dev:develop"
POET_IMAGE = "spacemeshos/poet:develop"
PROFILED_MINERS = (10, 20)  # who reports to a Pyroscope server unless told otherwise

_E2_STANDARD_16 = MachineSettings(type="e2-standard-16", cpu=16, memory_gib=64)


class PresetValues(Frozen):
    """One preset."""

    expires_after_hours: int
    miners: MinerSettings
    poets: PoetSettings
    machine: MachineSettings
    logs: LogSettings
    watch: WatchSettings
    metrics: MetricsSettings


PRESETS: Mapping[Preset, PresetValues] = {
    Preset.MININET: PresetValues(
        expires_after_hours=24,
        miners=MinerSettings(count=10, bootnodes=6, cpu="1", memory="2Gi", disk="10Gi"),
        poets=PoetSettings(count=1, gateways=4, cpu="1", memory="2Gi", disk="10Gi"),
        machine=_E2_STANDARD_16,
        logs=LogSettings(
            elasticsearch_replicas=1,
            elasticsearch_masters=1,
            elasticsearch_cpu="1",
            elasticsearch_memory="2Gi",
            elasticsearch_heap="1g",
            elasticsearch_disk="10Gi",
            kibana_cpu="1",
            kibana_memory="2Gi",
            kept_days=1,
        ),
        watch=WatchSettings(profiler=False, slack_alerts=False, chaos_mesh=False, vpc=False),
        metrics=MetricsSettings(enabled=False),
    ),
    Preset.DEVNET: PresetValues(
        expires_after_hours=7 * 24,
        miners=MinerSettings(count=25, bootnodes=6, cpu="100m", memory="1Gi", disk="20Gi"),
        poets=PoetSettings(count=1, gateways=4, cpu="100m", memory="2Gi", disk="20Gi"),
        machine=_E2_STANDARD_16,
        logs=LogSettings(
            elasticsearch_replicas=2,
            elasticsearch_masters=2,
            elasticsearch_cpu="2",
            elasticsearch_memory="8Gi",
            elasticsearch_heap="2g",
            elasticsearch_disk="512Gi",
            kibana_cpu="1",
            kibana_memory="2Gi",
            kept_days=7,
        ),
        watch=WatchSettings(
            profiler=True,
            slack_alerts=True,
            chaos_mesh=True,
            vpc=True,
            profiler_cpu="100m",
            prometheus_cpu="100m",
            prometheus_memory="4Gi",
        ),
        metrics=MetricsSettings(enabled=True),
    ),
    Preset.TESTNET: PresetValues(
        expires_after_hours=30 * 24,
        miners=MinerSettings(count=100, bootnodes=10, cpu="2", memory="8Gi", disk="200Gi"),
        poets=PoetSettings(count=5, gateways=6, cpu="8", memory="32Gi", disk="2048Gi", init_phase_shift_seconds=6000),
        machine=_E2_STANDARD_16,
        logs=LogSettings(
            elasticsearch_replicas=3,
            elasticsearch_masters=2,
            elasticsearch_cpu="4",
            elasticsearch_memory="16Gi",
            elasticsearch_heap="4g",
            elasticsearch_disk="3000Gi",
            kibana_cpu="1",
            kibana_memory="2Gi",
            kept_days=7,
        ),
        watch=WatchSettings(profiler=True, slack_alerts=False, chaos_mesh=False, vpc=False),
        metrics=MetricsSettings(enabled=True),
    ),
}

_SERVICES = "gateway,node,mesh,globalstate,transaction,smesher,debug"
_LOG_LEVELS = {"app": "info", "hare": "info", "mesh": "info", "p2p": "info", "poet": "info", "post": "info", "sync": "info"}

NODE_CONFIGS: Mapping[Preset, Mapping[str, Any]] = {
    Preset.MININET: {
        "api": {"grpc": _SERVICES},
        "logging": _LOG_LEVELS,
        "main": {"layer-duration-sec": 60, "layers-per-epoch": 6, "layer-average-size": 20, "hdist": 10, "sync-interval": 10},
        "p2p": {"network-id": 1},
        "hare": {"hare-committee-size": 50, "hare-max-adversaries": 24, "hare-round-duration-sec": 5, "hare-wakeup-delta": 5},
        "post": {"post-bits-per-label": 8, "post-labels-per-unit": 1024, "post-min-numunits": 2, "post-max-numunits": 4},
        "smeshing": {"smeshing-opts": {"smeshing-opts-numunits": 2, "smeshing-opts-numfiles": 1, "smeshing-opts-provider": 1}},
    },
    Preset.DEVNET: {
        "api": {"grpc": _SERVICES},
        "preset": "testnet",
        "main": {"layer-duration-sec": 120, "layers-per-epoch": 60, "optimistic-filtering-threshold": 100},
        "p2p": {"network-id": 2},
    },
    Preset.TESTNET: {
        "api": {"grpc": _SERVICES},
        "preset": "testnet",
        "logging": _LOG_LEVELS,
        "main": {"layer-duration-sec": 300, "layers-per-epoch": 288, "layer-average-size": 50, "hdist": 10, "sync-interval": 10},
        "p2p": {"network-id": 3},
        "hare": {"hare-committee-size": 50, "hare-max-adversaries": 24, "hare-round-duration-sec": 30, "hare-wakeup-delta": 30},
    },
}
