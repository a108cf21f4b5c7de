"""Genesis is fixed once; a network that is not up by then has failed, and is told by how much."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from networks.errors import Permanent
from tests.e2e import killing
from tests.e2e.cluster import Target

BATCHES: dict[str, Any] = {"miners": 3, "bootnodes": 1}


async def deploy(spec: dict[str, Any]) -> Any:
    from flows.deploy_network import deploy_network

    return await deploy_network(spec)


def move_genesis(target: Target, network: str, by: timedelta) -> None:
    """As if the network had been begun at another time."""
    path = f"/api/v1/namespaces/{network}/configmaps/network-record"
    record = json.loads(target.get(path)["data"]["record.json"])
    for moment in ("genesis", "created"):
        record[moment] = (datetime.fromisoformat(record[moment]) + by).isoformat().replace("+00:00", "Z")
    with target.http() as http:
        body = {"data": {"record.json": json.dumps(record)}}
        http.patch(path, json=body, headers={"Content-Type": "application/merge-patch+json"}).raise_for_status()


async def test_resumed_after_genesis(target: Target, network: str) -> None:
    """The run was killed before the last miners, and taken up again when genesis was over."""
    spec = target.spec(network, **BATCHES)
    await killing.killed(killing.start(spec, {}, after_task=5))
    move_genesis(target, network, -timedelta(minutes=11))
    with pytest.raises(Permanent) as caught:
        await deploy(spec)
    assert "1 of 3 miners were not up" in str(caught.value)
    assert "genesis_delay_minutes raised by" in str(caught.value)
    assert len(target.objects(network, "Deployment")["Deployment"]) == 3  # nothing was begun any more


async def test_verified_after_genesis(target: Target, network: str) -> None:
    """A network that was up in time may be verified whenever somebody likes."""
    spec = target.spec(network, **BATCHES)
    await deploy(spec)
    genesis = json.loads(target.get(f"/api/v1/namespaces/{network}/configmaps/network-record")["data"]["record.json"])["genesis"]
    report = await deploy(spec)
    assert report.changes.created == report.changes.changed == 0
    assert report.genesis == datetime.fromisoformat(genesis)
    assert report.genesis > datetime.now(UTC)
