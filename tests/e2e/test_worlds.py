"""Clusters and software other than the usual: no external addresses, no disks, old nodes, new PoETs, objects that will not go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from networks.errors import Permanent, SpecError
from tests.e2e.cluster import Target
from tests.lab.labs import running_lab

TINY: dict[str, Any] = {"miners": 2, "bootnodes": 0, "poets": {"gateways": 1}}


async def deploy(spec: dict[str, Any], **options: Any) -> Any:
    from flows.deploy_network import deploy_network

    return await deploy_network(spec, **options)


async def test_bare_cluster(prefect_server: str) -> None:
    """One node without an external address, no StorageClass, as most clusters that people set up themselves."""
    from blocks import Cluster

    async with running_lab(recorded=True, speed=100) as lab:
        bare = Target(Path(lab.kubeconfig).read_text(), lab=lab)
        await Cluster(kubeconfig=bare.kubeconfig).save("bare", overwrite=True)
        with pytest.raises(SpecError, match="no default StorageClass") as caught:
            await deploy(bare.spec("bare", **TINY), cluster="bare")
        assert "ephemeral" in str(caught.value)
        assert not bare.has_namespace("bare")

        report = await deploy(bare.spec("bare", **TINY, volumes={"kind": "ephemeral"}), cluster="bare")
        node = bare.get("/api/v1/nodes")["items"][0]
        internal = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
        assert {row.grpc.split(":")[0] for row in report.miners} == {internal}
        assert bare.objects("bare", "PersistentVolumeClaim")["PersistentVolumeClaim"] == []


async def test_old_nodes_and_new_poets(lab: Target, network: str) -> None:
    """Nodes that do not tell their identity over gRPC write it into their log; PoETs that start by themselves need no activation."""
    images = {"node": "spacemeshos/go-spacemesh-dev:v0.1.0", "poet": "spacemeshos/poet:v0.10.0"}
    report = await deploy(lab.spec(network, **TINY, images=images))
    assert all("/p2p/" in row.p2p_address for row in report.miners)
    assert [row.state for row in report.poets] == ["starts by itself"]


async def test_what_will_not_go_is_named(lab: Target, network: str) -> None:
    """A finalizer that nobody takes away: the wait ends and says what it waited for."""
    from tasks.kubernetes.connection import connected
    from tasks.spacemesh.deleting import delete_everything, find_network

    await deploy(lab.spec(network, **TINY))
    path = f"/api/v1/namespaces/{network}/services/miner-1"
    await patch(lab, path, {"metadata": {"finalizers": ["example.com/keep"]}})
    try:
        async with connected("lab") as k8s:
            found = await find_network.fn(k8s, network)
            assert found is not None
            with pytest.raises(Permanent, match=r"example\.com/keep"):
                await delete_everything.fn(k8s, network, found, 4)
    finally:
        await patch(lab, path, {"metadata": {"finalizers": None}})


async def patch(target: Target, path: str, body: dict[str, Any]) -> None:
    """A merge patch."""
    with target.http() as http:
        http.patch(path, json=body, headers={"Content-Type": "application/merge-patch+json"}).raise_for_status()


async def test_no_such_cluster_block(prefect_server: str) -> None:
    """Said by name, with what to do."""
    with pytest.raises(Permanent, match="no Cluster block named 'nowhere'"):
        await deploy({"name": "x"}, cluster="nowhere")
