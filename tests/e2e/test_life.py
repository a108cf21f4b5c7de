"""A network's life: deployed, listed, deployed again without a change, deleted."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from networks.errors import Permanent
from tests.e2e.cluster import Target, keys_of, pods_of


async def deploy(spec: dict[str, Any], **options: Any) -> Any:
    from flows.deploy_network import deploy_network

    return await deploy_network(spec, **options)


async def test_life(target: Target, network: str) -> None:
    """The whole way, on any cluster."""
    from flows.delete_network import delete_network

    spec = target.spec(network, miners=5, bootnodes=2)
    bucket = "lab-data" if target.lab else None

    plan = await deploy(spec, plan_only=True)
    assert len(plan.pods) == 6
    assert not target.has_namespace(network)

    made = await deploy(spec, data_bucket=bucket)
    objects = target.objects(network)
    assert [row.role for row in made.miners] == ["bootstrap", "bootnode", "bootnode", "ordinary", "ordinary"]
    assert all(row.ready and "/p2p/" in row.p2p_address and row.grpc and row.json_api for row in made.miners)
    assert len({row.p2p_address for row in made.miners}) == 5
    assert made.changes.created > 20
    assert made.changes.changed == 0
    check_bootnodes(objects, made)
    await check_artifacts(made)
    if target.lab:
        published = httpx.get(made.published, trust_env=False).json()
        assert published["main"]["poet-server"] == made.poets[0].address
        assert published["p2p"]["bootnodes"] == [row.p2p_address for row in made.miners[1:3]]

    await check_list(made)

    again = await deploy(spec, data_bucket=bucket)
    assert again.changes.created == again.changes.changed == 0
    assert again.changes.unchanged == made.changes.created
    assert "nothing" in str(again.changes)
    assert pods_of(target.objects(network)) == pods_of(objects)
    assert again.miners == made.miners

    gone = await delete_network(network)
    assert gone.namespace_gone
    assert gone.deleted["Deployment"] == 6
    assert gone.published == ([made.published] if target.lab else [])
    assert not target.has_namespace(network)
    twice = await delete_network(network)
    assert "nothing to delete" in twice.as_text()


async def check_list(made: Any) -> None:
    """The list knows from the cluster alone what the deployment reported."""
    from flows.list_networks import list_networks

    listed = next(one for one in (await list_networks()).networks if one.network == made.network)
    assert listed.hosts() == made.hosts()
    assert listed.hosts().split(",")[0] == f"{made.miners[0].grpc}/miner-1"
    assert [row.address for row in listed.poets] == [row.address for row in made.poets]
    assert [row.p2p_address for row in listed.miners] == [row.p2p_address for row in made.miners]
    assert listed.current_layer is not None
    assert listed.synced == f"{len(made.miners)}/{len(made.miners)}"
    quick = next(one for one in (await list_networks(ask_nodes=False)).networks if one.network == made.network)
    assert quick.hosts() == made.hosts()
    assert (quick.current_layer, quick.synced, quick.miners[0].p2p_address) == (None, "", "")


def check_bootnodes(objects: dict[str, Any], made: Any) -> None:
    """Everybody knows the right nodes, and the right PoET."""
    addresses = [row.p2p_address for row in made.miners]
    for number, row in enumerate(made.miners, start=1):
        config_map = next(obj for obj in objects["ConfigMap"] if obj["metadata"]["name"] == row.name)
        config = json.loads(config_map["data"]["config.json"])
        assert config["p2p"]["bootnodes"] == ([] if number == 1 else addresses[:1] if number <= 3 else addresses[1:3])
        assert config["main"]["poet-server"] == made.poets[0].address
        assert config["main"]["genesis-active-size"] == len(made.miners)


async def check_artifacts(made: Any) -> None:
    """What people see in the UI: the tables, and a progress bar that ends at 100."""
    from prefect.artifacts import Artifact

    table = await Artifact.aget(f"{made.network}-miners")
    progress = await Artifact.aget(f"{made.network}-progress")
    assert table is not None
    assert progress is not None
    rows = json.loads(str(table.data))
    assert [row["miner"] for row in rows] == [row.name for row in made.miners]
    assert rows[0]["p2p address"] == made.miners[0].p2p_address
    assert float(str(progress.data)) == 100


async def test_joining_another_network(target: Target, network: str) -> None:
    """A network of miners that start into another one; it is found by its configuration."""
    other = "/ip4/192.0.2.1/tcp/5001/p2p/12D3KooWEFrCM5dYBL8KwsKyvTg4bFRnk5vCzCXtCbSJFLtn8v4V"
    config = {
        "main": {"layer-duration-sec": 30, "layers-per-epoch": 4, "genesis-time": "2026-01-01T00:00:00Z"},
        "p2p": {"bootnodes": [other], "network-id": 7},
    }
    spec = target.spec(network, miners=3, bootnodes=1, bootstrap=False, node_config={"inline": config})
    if target.lab is None:
        pytest.skip("needs a network to join")
    made = await deploy(spec)
    assert [row.role for row in made.miners] == ["bootnode", "ordinary", "ordinary"]
    maps = {obj["metadata"]["name"]: obj for obj in target.objects(network, "ConfigMap")["ConfigMap"]}
    configs = [json.loads(maps[row.name]["data"]["config.json"]) for row in made.miners]
    assert configs[0]["p2p"]["bootnodes"] == [other]
    assert configs[1]["p2p"]["bootnodes"] == [made.miners[0].p2p_address]
    assert {config["main"]["genesis-time"] for config in configs} == {"2026-01-01T00:00:00Z"}


async def test_a_namespace_of_somebody_else_is_left_alone(target: Target, network: str) -> None:
    """Neither deployed into nor deleted."""
    from flows.delete_network import delete_network

    target.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{network}-x"}})
    try:
        with pytest.raises(Permanent, match="not made by Cosmodrome"):
            await deploy(target.spec(f"{network}-x"))
        with pytest.raises(Permanent, match="not made by Cosmodrome"):
            await delete_network(f"{network}-x")
        assert target.has_namespace(f"{network}-x")
        assert target.objects(f"{network}-x", "Deployment")["Deployment"] == []
    finally:
        target.delete(f"/api/v1/namespaces/{network}-x")


async def test_what_others_put_into_the_namespace_stays(target: Target, network: str) -> None:
    """Only the network's own objects go; the namespace stays, and a second run takes it once it is empty."""
    from flows.delete_network import delete_network

    await deploy(target.spec(network, miners=2, bootnodes=0, poets={"gateways": 1}))
    note = f"/api/v1/namespaces/{network}/configmaps"
    target.create(note, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}, "data": {"a": "b"}})
    report = await delete_network(network)
    assert not report.namespace_gone
    assert any("ConfigMap notes" in line for line in report.remains)
    left = target.objects(network, "ConfigMap", "Secret", "Deployment", "Service", "PersistentVolumeClaim")
    assert [obj["metadata"]["name"] for obj in left["ConfigMap"]] in (["kube-root-ca.crt", "notes"], ["notes"])
    assert not left["Deployment"]
    assert not left["Service"]
    assert not left["PersistentVolumeClaim"]
    assert not [obj for obj in left["Secret"] if obj["metadata"]["name"].startswith("miner")]
    target.delete(f"{note}/notes")
    assert (await delete_network(network)).namespace_gone


async def test_another_network_under_the_same_name_is_refused(target: Target, network: str) -> None:
    """deploy-network finishes and verifies; it does not turn one network into another."""
    spec = target.spec(network, miners=2, bootnodes=0, poets={"gateways": 1})
    await deploy(spec)
    with pytest.raises(Permanent, match=r"miners\.count"):
        await deploy({**spec, "miners": {**spec["miners"], "count": 3}})


async def test_what_was_changed_or_lost_is_put_back(target: Target, network: str) -> None:
    """What the plan says is put back; what it says nothing of stays; keys are kept."""
    spec = target.spec(network, miners=2, bootnodes=0, poets={"gateways": 1})
    made = await deploy(spec)
    before = target.objects(network)
    service = f"/api/v1/namespaces/{network}/services/miner-2"
    with target.http() as http:
        body = {"metadata": {"labels": {"app": "changed"}, "annotations": {"example.com/note": "by hand"}}}
        http.patch(service, json=body, headers={"Content-Type": "application/merge-patch+json"}).raise_for_status()
        http.delete(f"/apis/apps/v1/namespaces/{network}/deployments/miner-2").raise_for_status()

    again = await deploy(spec)

    assert (again.changes.created, again.changes.changed) == (1, 1)
    metadata = target.get(service)["metadata"]
    assert metadata["labels"]["app"] == "miner"
    assert metadata["annotations"]["example.com/note"] == "by hand"
    after = target.objects(network)
    assert keys_of(after) == keys_of(before)
    assert pods_of(after)["miner-1"] == pods_of(before)["miner-1"]
    if spec.get("volumes", {}).get("kind") != "ephemeral":
        # Its disk, and with it its identity, was kept; the machine may be another.
        assert [(row.name, identity(row)) for row in again.miners] == [(row.name, identity(row)) for row in made.miners]


def identity(row: Any) -> str:
    """The last part of a p2p address."""
    return str(row.p2p_address.rpartition("/")[2])
