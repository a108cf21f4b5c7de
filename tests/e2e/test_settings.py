"""What settings become on a cluster: metrics, profiles, GPUs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lab.addresses import real_port
from networks.errors import SpecError
from tests.e2e.cluster import Target

SIZES: dict[str, Any] = {"miners": 3, "bootnodes": 1}
GPU = "nvidia.com/gpu"


async def deploy(spec: dict[str, Any], **options: Any) -> Any:
    from flows.deploy_network import deploy_network

    return await deploy_network(spec, **options)


def arguments(objects: dict[str, list[Any]], name: str) -> list[str]:
    """A workload's command line."""
    deployment = next(obj for obj in objects["Deployment"] if obj["metadata"]["name"] == name)
    return list(deployment["spec"]["template"]["spec"]["containers"][0]["args"])


@pytest.mark.parametrize("preset", ["devnet", "testnet"])
async def test_metrics_and_profiles(lab: Target, network: str, preset: str) -> None:
    """Presets that measure: every miner serves metrics inside the cluster, chosen ones send profiles."""
    profiling = {"server_url": "http://pyroscope.metrics:4040", "miners": [2]}
    spec = lab.spec(network, **SIZES, preset=preset, poets={"count": 1}, metrics={"push_url": "http://push:9091"}, profiling=profiling)
    made = await deploy(spec)
    objects = lab.objects(network)
    assert all(row.ready for row in made.miners)
    assert {"--metrics", "--metrics-push=http://push:9091", "--pprof-server"} <= set(arguments(objects, "miner-1"))
    assert f"--profiler-name={network}-miner-2" in arguments(objects, "miner-2")
    assert not [arg for arg in arguments(objects, "miner-3") if "profiler" in arg]
    services = {obj["metadata"]["name"]: obj["spec"] for obj in objects["Service"]}
    for row in made.miners:
        inside = services[f"{row.name}-metrics"]
        assert inside["type"] == "ClusterIP"
        text = httpx.get(f"http://{inside['clusterIP']}:{real_port(1010)}/metrics", trust_env=False).text
        assert "spacemesh_p2p_connected_peers" in text
        pprof = next(port["nodePort"] for port in services[row.name]["ports"] if port["name"] == "pprof")
        page = httpx.get(f"http://{row.grpc.rpartition(':')[0]}:{pprof}/debug/pprof/", trust_env=False)
        assert page.status_code == 200
    again = await deploy(spec)
    assert again.changes.created == again.changes.changed == 0


async def test_miners_with_gpus(lab: Target, network: str) -> None:
    """They go where the GPUs are; what has no room is told before anything is made."""
    wanted = {"miners": {"gpus": 1, "gpu_type": "nvidia-l4"}}
    spec = {**lab.spec(network, miners=2, bootnodes=0, poets={"gateways": 1})}
    spec["miners"].update(wanted["miners"])
    with pytest.raises(SpecError, match="GPUs asked for: 1 of type nvidia-l4; worker node"):
        await deploy(spec)
    assert not lab.has_namespace(network)
    node = sorted(obj["metadata"]["name"] for obj in lab.get("/api/v1/nodes")["items"])[1]
    equip(lab, node, "2", "nvidia-l4")
    try:
        made = await deploy(spec)
        assert [row.node for row in made.miners] == [node, node]
    finally:
        equip(lab, node, None, None)


def equip(target: Target, node: str, gpus: str | None, gpu_type: str | None) -> None:
    """Put GPUs into a machine, as its device plugin would tell of them; None: take them out."""
    headers = {"Content-Type": "application/merge-patch+json"}
    labels = {"metadata": {"labels": {"cloud.google.com/gke-accelerator": gpu_type}}}
    amounts = {"status": {"capacity": {GPU: gpus}, "allocatable": {GPU: gpus}}}
    with target.http() as http:
        http.patch(f"/api/v1/nodes/{node}", json=labels, headers=headers).raise_for_status()
        http.patch(f"/api/v1/nodes/{node}/status", json=amounts, headers=headers).raise_for_status()
