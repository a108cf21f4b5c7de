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
METRICS_PORT = 1010
SECRET_PUBLIC = "public"  # noqa: S105 - the names of keys, not keys
SECRET_PRIVATE = "private"  # noqa: S105

_GO_DEBUG = "gctrace=1,scavtrace=1,gcpacertrace=1"


def secret_name(miner: str) -> str:
    """The Secret of a miner's coinbase."""
    return f"{miner}-coinbase"


def ports(settings: Settings) -> dict[str, int]:
    """What a miner serves to everybody, by name."""
    return {
        "grpc": GRPC_PORT,
        **({"json": JSON_PORT} if settings.miners.json_api else {}),
        **({"pprof": PPROF_PORT} if serves_pprof(settings) else {}),
    }


def serves_pprof(settings: Settings) -> bool:
    """Profiling with Pyroscope includes Go's own: on all miners, also on those that report to no server."""
    return settings.miners.pprof or bool(settings.profiling.server_url)


def metrics_service(part: Part) -> Manifest:
    """The Service inside the cluster that a miner's metrics are scraped from."""
    return manifests.cluster_ip_service(part, f"{part.name}-metrics", {"metrics": METRICS_PORT})


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


def objects(part: Part, *, number: int, p2p_port: int, config: Mapping[str, Any], node: str | None) -> tuple[Manifest, ...]:
    """PVC (unless ephemeral), ConfigMap, Services and Deployment: the Deployment last, when all that it needs is there.

    `node`: the hostname label of the worker node that the miner is pinned to.
    """
    claim = (manifests.volume_claim(part, part.settings.miners.disk),) if part.settings.volumes.kind == "persistent" else ()
    return (
        *claim,
        manifests.config_map(part, {"config.json": node_config.dump(config)}),
        manifests.node_port_service(part, ports(part.settings)),
        *((metrics_service(part),) if part.settings.metrics.enabled else ()),
        manifests.deployment(part, _pod(part, number, p2p_port, node), annotations={"cosmodrome.dev/config": node_config.digest(config)}),
    )


def _pod(part: Part, number: int, p2p_port: int, node: str | None) -> dict[str, Any]:
    selector = {**({"kubernetes.io/hostname": node} if node else {}), **manifests.accelerator_selector(part.settings.miners)}
    return {
        **({"nodeSelector": selector} if selector else {}),
        **({"tolerations": manifests.accelerator_tolerations()} if part.settings.miners.gpus else {}),
        "containers": [_container(part, number, p2p_port)],
        "volumes": [manifests.data_volume(part), manifests.config_volume(part)],
    }


def _container(part: Part, number: int, p2p_port: int) -> dict[str, Any]:
    settings = part.settings
    coinbase = {"name": "COINBASE", "valueFrom": {"secretKeyRef": {"name": secret_name(part.name), "key": SECRET_PUBLIC}}}
    debug = [{"name": "GODEBUG", "value": _GO_DEBUG}] if settings.miners.go_debug else []
    p2p = [{"name": f"p2p-{p.lower()}", "containerPort": p2p_port, "hostPort": p2p_port, "protocol": p} for p in ("TCP", "UDP")]
    open_ports = {**ports(settings), **({"metrics": METRICS_PORT} if settings.metrics.enabled else {})}
    served = [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in open_ports.items()]
    return {
        "name": "miner",
        "image": settings.images.node,
        "command": ["/bin/go-spacemesh"],
        "args": _arguments(settings, p2p_port) + _watching(settings, number, part.name),
        "env": [coinbase, *debug],
        "ports": [*p2p, *served],
        "resources": manifests.resources(settings.miners.cpu, settings.miners.memory, gpus=settings.miners.gpus),
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
    ]


def _watching(settings: Settings, number: int, name: str) -> list[str]:
    """Flags for metrics and profiles. A dollar sign in an address is doubled: the kubelet replaces `$(…)` in arguments."""
    metrics, profiling = settings.metrics, settings.profiling
    push, server = metrics.push_url.replace("$", "$$"), profiling.server_url.replace("$", "$$")
    return [
        *(["--metrics"] if metrics.enabled else []),
        *([f"--metrics-push={push}"] if metrics.enabled and push else []),
        *(["--pprof-server"] if serves_pprof(settings) else []),
        *([f"--profiler-url={server}", f"--profiler-name={settings.name}-{name}"] if server and number in profiling.miners else []),
    ]
