"""Everything that one PoET consists of."""

from __future__ import annotations

from typing import Any

from networks.spacemesh import manifests, node_config
from networks.spacemesh.manifests import Manifest, Part
from networks.spacemesh.node_config import Layers

REST_PORT = 5000
_CONFIG_DIRECTORY = "/etc/poet"


def initial_duration(genesis_delay_minutes: int, layers: Layers, index: int, phase_shift_seconds: int) -> int:
    """Seconds of PoET number `index`'s first round: until genesis, one layer more, and a shift for every PoET before it."""
    return genesis_delay_minutes * 60 + layers.duration_seconds + index * phase_shift_seconds


def objects(part: Part, *, layers: Layers, initial_seconds: int) -> tuple[Manifest, ...]:
    """PVC (unless ephemeral), ConfigMap, Service and Deployment; the Deployment last, when all that it needs is there."""
    claim = (manifests.volume_claim(part, part.settings.poets.disk),) if part.settings.volumes.kind == "persistent" else ()
    config = {"poet.conf": f'duration="{layers.epoch_seconds}s"\nn="21"\n'}
    return (
        *claim,
        manifests.config_map(part, config),
        manifests.node_port_service(part, {"rest": REST_PORT}),
        manifests.deployment(part, _pod(part, initial_seconds), annotations={"cosmodrome.dev/config": node_config.digest(config)}),
    )


def _pod(part: Part, initial_seconds: int) -> dict[str, Any]:
    return {
        "containers": [
            {
                "name": "poet",
                "image": part.settings.images.poet,
                "command": ["/bin/poet"],
                "args": [
                    f"--restlisten=0.0.0.0:{REST_PORT}",
                    f"--initialduration={initial_seconds}s",
                    "--jsonlog",
                    f"--configfile={_CONFIG_DIRECTORY}/poet.conf",
                ],
                "ports": [{"name": "rest", "containerPort": REST_PORT, "protocol": "TCP"}],
                "resources": manifests.resources(part.settings.poets.cpu, part.settings.poets.memory),
                "securityContext": {"allowPrivilegeEscalation": False},
                "startupProbe": manifests.open_port(REST_PORT, every=5, failures=120),
                "readinessProbe": manifests.open_port(REST_PORT, every=20, failures=3),
                "volumeMounts": [
                    {"name": "data", "mountPath": "/root/.poet"},
                    {"name": "config", "mountPath": _CONFIG_DIRECTORY, "readOnly": True},
                ],
            }
        ],
        "volumes": [manifests.data_volume(part), manifests.config_volume(part)],
    }
