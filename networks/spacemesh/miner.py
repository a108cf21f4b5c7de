"""Everything that one miner consists of."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from networks.spacemesh import manifests, node_config
from networks.spacemesh.coinbase import CoinbaseKey
from networks.spacemesh.manifests import Manifest, Part
from networks.spacemesh.settings import Settings

GRPC_PORT = 6000
JSON_PORT = 7000
PPROF_PORT = 6060
SECRET_PUBLIC = "public"  # noqa: S105 - the names of keys, not keys
SECRET_PRIVATE = "private"  # noqa: S105

_GO_DEBUG = "gctrace=1,scavtrace=1,gcpacertrace=1"


def secret_name(miner: str) -> str:
    """The Secret of a miner's coinbase."""
    return f"{miner}-coinbase"


def ports(settings: Settings) -> dict[str, int]:
    """What a miner serves, by name."""
    return {
        "grpc": GRPC_PORT,
        **({"json": JSON_PORT} if settings.miners.json_api else {}),
        **({"pprof": PPROF_PORT} if settings.miners.pprof else {}),
    }


def secret(part: Part, key: CoinbaseKey) -> Manifest:
    """The coinbase's key pair. Created once and never changed: who loses the private key loses the rewards."""
    parts = {SECRET_PRIVATE: key.private_hex, SECRET_PUBLIC: key.public_hex}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": part.metadata(secret_name(part.name)),
        "type": "Opaque",
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in parts.items()},
    }


def objects(part: Part, *, p2p_port: int, config: Mapping[str, Any], node: str | None) -> tuple[Manifest, ...]:
    """PVC (unless ephemeral), ConfigMap, Service and Deployment: the Deployment last, when all that it needs is there.

    `node`: the hostname label of the worker node that the miner is pinned to.
    """
    claim = (manifests.volume_claim(part, part.settings.miners.disk),) if part.settings.volumes.kind == "persistent" else ()
    return (
        *claim,
        manifests.config_map(part, {"config.json": node_config.dump(config)}),
        manifests.node_port_service(part, ports(part.settings)),
        manifests.deployment(part, _pod(part, p2p_port, node), annotations={"cosmodrome.dev/config": node_config.digest(config)}),
    )


def _pod(part: Part, p2p_port: int, node: str | None) -> dict[str, Any]:
    return {
        **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
        "containers": [_container(part.settings, p2p_port, secret_name(part.name))],
        "volumes": [manifests.data_volume(part), manifests.config_volume(part)],
    }


def _container(settings: Settings, p2p_port: int, coinbase_secret: str) -> dict[str, Any]:
    coinbase = {"name": "COINBASE", "valueFrom": {"secretKeyRef": {"name": coinbase_secret, "key": SECRET_PUBLIC}}}
    debug = [{"name": "GODEBUG", "value": _GO_DEBUG}] if settings.miners.go_debug else []
    p2p = [{"name": f"p2p-{p.lower()}", "containerPort": p2p_port, "hostPort": p2p_port, "protocol": p} for p in ("TCP", "UDP")]
    served = [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports(settings).items()]
    return {
        "name": "miner",
        "image": settings.images.node,
        "command": ["/bin/go-spacemesh"],
        "args": _arguments(settings, p2p_port),
        "env": [coinbase, *debug],
        "ports": [*p2p, *served],
        "resources": manifests.resources(settings.miners.cpu, settings.miners.memory),
        "securityContext": {"allowPrivilegeEscalation": False},
        # gRPC is served early, before the node is in step with the network; ten minutes are for the disk, not for syncing.
        "startupProbe": manifests.open_port(GRPC_PORT, every=5, failures=120),
        "readinessProbe": manifests.open_port(GRPC_PORT, every=20, failures=3),
        "volumeMounts": [{"name": "data", "mountPath": "/root/data"}, {"name": "config", "mountPath": "/etc/config", "readOnly": True}],
    }


def _arguments(settings: Settings, p2p_port: int) -> list[str]:
    """The command line. The kubelet puts the public key in; no key and no token stands in a pod's specification."""
    return [
        f"--listen=/ip4/0.0.0.0/tcp/{p2p_port}",
        *(["--json-server=true"] if settings.miners.json_api else []),
        "--config=/etc/config/config.json",
        "-d=/root/data/node",
        "--smeshing-coinbase=$(COINBASE)",
        "--smeshing-start=true",
        "--smeshing-opts-datadir=/root/data/post",
        "--log-encoder=json",
        f"--grpc-port={GRPC_PORT}",
        *([f"--json-port={JSON_PORT}"] if settings.miners.json_api else []),
        *(["--pprof-server"] if settings.miners.pprof else []),
    ]
