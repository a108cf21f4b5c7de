"""The presets are the table of networks as they were really run."""

from __future__ import annotations

from typing import Any

import pytest

from networks.spacemesh import node_config, rules
from networks.spacemesh.model import resolve
from networks.spacemesh.presets import NODE_CONFIGS, PRESETS
from networks.spacemesh.settings import Preset
from tests.networks.spacemesh.examples import network

TABLE: dict[str, dict[str, Any]] = {
    "mininet": {
        "miners": (10, "1", "2Gi", "10Gi", 6),
        "poets": (1, "1", "2Gi", "10Gi", 4, 0),
        "elasticsearch": (1, 1, "1", "2Gi", "1g", "10Gi"),
        "kept_days": 1,
        "watch": (False, False, False, False, False),
    },
    "devnet": {
        "miners": (25, "100m", "1Gi", "20Gi", 6),
        "poets": (1, "100m", "2Gi", "20Gi", 4, 0),
        "elasticsearch": (2, 2, "2", "8Gi", "2g", "512Gi"),
        "kept_days": 7,
        "watch": (True, True, True, True, True),
    },
    "testnet": {
        "miners": (100, "2", "8Gi", "200Gi", 10),
        "poets": (5, "8", "32Gi", "2048Gi", 6, 6000),
        "elasticsearch": (3, 2, "4", "16Gi", "4g", "3000Gi"),
        "kept_days": 7,
        "watch": (True, True, False, False, False),
    },
}


@pytest.mark.parametrize("preset", list(Preset))
def test_a_preset_is_its_row_of_the_table(preset: Preset) -> None:
    values, row = PRESETS[preset], TABLE[preset.value]
    miners, poets, logs, watch = values.miners, values.poets, values.logs, values.watch
    assert (miners.count, miners.cpu, miners.memory, miners.disk, miners.bootnodes) == row["miners"]
    assert (poets.count, poets.cpu, poets.memory, poets.disk, poets.gateways, poets.init_phase_shift_seconds) == row["poets"]
    assert (
        logs.elasticsearch_replicas,
        logs.elasticsearch_masters,
        logs.elasticsearch_cpu,
        logs.elasticsearch_memory,
        logs.elasticsearch_heap,
        logs.elasticsearch_disk,
    ) == row["elasticsearch"]
    assert (logs.kibana_cpu, logs.kibana_memory, logs.kept_days) == ("1", "2Gi", row["kept_days"])
    assert (values.metrics.enabled, watch.profiler, watch.slack_alerts, watch.chaos_mesh, watch.vpc) == row["watch"]
    assert (values.machine.type, values.machine.cpu, values.machine.memory_gib) == ("e2-standard-16", 16, 64)


@pytest.mark.parametrize("preset", list(Preset))
def test_a_preset_by_itself_can_be_deployed(preset: Preset) -> None:
    settings = resolve(network(preset=preset))
    assert settings.genesis_delay_minutes == 10
    assert settings.miners.max_at_once == 100
    assert settings.images.poet == "spacemeshos/poet:develop"
    assert rules.settings_problems(settings) == []
    config = NODE_CONFIGS[preset]
    assert node_config.problems(config, bootstrap=True, miners=settings.miners.count) == []
    services = str(node_config.get(config, "api.grpc")).split(",")
    assert {"gateway", "node", "debug"} <= set(services)  # PoETs need the gateway, this project the other two
    assert "genesis" not in config


def test_networks_of_different_presets_do_not_take_one_another_for_their_own() -> None:
    assert len({node_config.network_id(config) for config in NODE_CONFIGS.values()}) == 3
