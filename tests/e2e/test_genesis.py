"""Genesis is fixed once; a network that is not up by then has failed, and is told by how much."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from networks.errors import Permanent
from tests.e2e import killing
from tests.e2e.cluster import Target, keys_of

BATCHES: dict[str, Any] = {"miners": 3, "bootnodes": 1}


async def deploy(spec: dict[str, Any]) -> Any:
    from flows.deploy_network import deploy_network

    return await deploy_network(spec)


def set_genesis(target: Target, network: str, moment: datetime) -> None:
    """As if the network had been begun at another time."""
    path = f"/api/v1/namespaces/{network}/configmaps/network-record"
    record = json.loads(target.get(path)["data"]["record.json"])
    record["genesis"] = moment.isoformat().replace("+00:00", "Z")
    with target.http() as http:
        body = {"data": {"record.json": json.dumps(record)}}
        http.patch(path, json=body, headers={"Content-Type": "application/merge-patch+json"}).raise_for_status()


async def test_resumed_after_genesis(target: Target, network: str) -> None:
    """The run was killed before the last miner, and taken up again when genesis was over; then with a longer delay."""
    spec = target.spec(network, **BATCHES)
    await killing.killed(killing.start(spec, {}, after_task=5))
    keys = keys_of(target.objects(network))
    set_genesis(target, network, datetime.now(UTC))
    with pytest.raises(Permanent) as caught:
        await deploy(spec)
    assert "1 of 3 miners were not up" in str(caught.value)
    assert "genesis_delay_minutes raised by" in str(caught.value)
    assert len(target.objects(network, "Deployment")["Deployment"]) == 3  # nothing was begun any more

    report = await deploy({**spec, "genesis_delay_minutes": 30})
    assert report.genesis > datetime.now(UTC)
    after = target.objects(network)
    assert keys.items() <= keys_of(after).items()
    configs = [json.loads(obj["data"]["config.json"]) for obj in after["ConfigMap"] if obj["metadata"]["name"].startswith("miner")]
    assert {datetime.fromisoformat(config["main"]["genesis-time"]) for config in configs} == {report.genesis}


async def test_genesis_is_kept(target: Target, network: str) -> None:
    """A second run, minutes or days later, asks for the same delay and means the same moment."""
    spec = target.spec(network, **BATCHES)
    await deploy(spec)
    genesis = json.loads(target.get(f"/api/v1/namespaces/{network}/configmaps/network-record")["data"]["record.json"])["genesis"]
    report = await deploy(spec)
    assert report.changes.created == report.changes.changed == 0
    assert report.genesis == datetime.fromisoformat(genesis)
    assert report.genesis > datetime.now(UTC)


async def test_a_complete_network_is_never_late(target: Target, network: str) -> None:
    """Once all were up in time, a miner that is lost after genesis is put back like any other."""
    spec = target.spec(network, **BATCHES)
    await deploy(spec)
    set_genesis(target, network, datetime.now(UTC))
    with target.http() as http:
        http.delete(f"/apis/apps/v1/namespaces/{network}/deployments/miner-3").raise_for_status()
    report = await deploy(spec)
    assert report.changes.created == 1
    assert all(row.ready for row in report.miners)
