"""A network whose first deployment did not complete can be put right; one that did stays what it is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from networks.errors import Permanent, SpecError
from tests.e2e import killing
from tests.e2e.cluster import Target, keys_of

SIZES: dict[str, Any] = {"miners": 3, "bootnodes": 1}


async def deploy(spec: dict[str, Any], **options: Any) -> Any:
    from flows.deploy_network import deploy_network

    return await deploy_network(spec, **options)


def record_of(target: Target, network: str) -> dict[str, Any]:
    """What the network's record says."""
    found = target.get(f"/api/v1/namespaces/{network}/configmaps/network-record")
    return dict(json.loads(found["data"]["record.json"]))


def set_genesis(target: Target, network: str, moment: datetime) -> None:
    """As if the network had been begun at another time."""
    body = {"data": {"record.json": json.dumps({**record_of(target, network), "genesis": moment.isoformat()})}}
    with target.http() as http:
        path = f"/api/v1/namespaces/{network}/configmaps/network-record"
        http.patch(path, json=body, headers={"Content-Type": "application/merge-patch+json"}).raise_for_status()


async def identities(network: str) -> dict[str, str]:
    """Who the miners are that run, asked of themselves."""
    from flows.list_networks import list_networks
    from tasks.spacemesh.node import spacemesh_node

    found = {}
    for row in next(one for one in (await list_networks()).networks if one.network == network).miners:
        if row.ready:
            async with spacemesh_node(row.grpc) as node:
                found[row.name] = await node.identity()
    return found


async def test_wrong_image_corrected(lab: Target, network: str) -> None:
    """Fails, is corrected, completes: with the same record, keys and disks; from then on another image is refused."""
    wrong = lab.spec(network, **SIZES, images={"node": "spacemeshos/go-spacemesh-dev:no-such-tag"})
    with pytest.raises(Permanent, match="cannot be pulled"):
        await deploy(wrong)
    before, begun = lab.objects(network), record_of(lab, network)
    assert begun["completed"] is None

    right = lab.spec(network, **SIZES)
    plan = await deploy(right, plan_only=True)
    assert "images.node: 'spacemeshos/go-spacemesh-dev:no-such-tag' → 'spacemeshos/go-spacemesh-dev:develop'" in plan.summary["corrections"]
    assert record_of(lab, network) == begun, "planning changed the record"

    made = await deploy(right)
    after, record = lab.objects(network), record_of(lab, network)
    assert made.corrected == ("images.node: 'spacemeshos/go-spacemesh-dev:no-such-tag' → 'spacemeshos/go-spacemesh-dev:develop'",)
    assert all(row.ready and row.image.endswith(":develop") for row in made.miners)
    assert keys_of(before).items() <= keys_of(after).items()
    assert len(keys_of(after)) == 3
    assert record["completed"]
    assert {key: record[key] for key in ("run_id", "created", "genesis", "pins")} == {k: begun[k] for k in ("run_id", "created", "genesis", "pins")}
    assert disks(before).items() <= disks(after).items()

    again = await deploy(right)
    assert (again.changes.created, again.changes.changed, again.corrected) == (0, 0, ())
    with pytest.raises(SpecError, match=r"images\.node.*upgrade-network"):
        await deploy(wrong)


def disks(objects: dict[str, list[Any]]) -> dict[str, str]:
    """Claims by name."""
    return {obj["metadata"]["name"]: obj["metadata"]["uid"] for obj in objects["PersistentVolumeClaim"]}


async def test_running_miners_are_corrected_too(lab: Target, network: str) -> None:
    """A run died half way; the next one asks for less memory, no metrics and one miner more."""
    spec = lab.spec(network, **SIZES, metrics={"enabled": True})
    await killing.killed(killing.start(spec, {}, after_task=5))
    before, known = lab.objects(network), await identities(network)
    assert set(known) == {"miner-1", "miner-2"}

    made = await deploy({**spec, "miners": {**spec["miners"], "count": 4, "memory": "200Mi"}, "metrics": {"enabled": False}})

    after = lab.objects(network)
    assert [text.partition(":")[0] for text in made.corrected] == ["miners.count", "miners.memory", "metrics.enabled"]
    assert keys_of(before).items() <= keys_of(after).items()
    assert len(after["Pod"]) == 5
    assert not [obj for obj in after["Service"] if obj["metadata"]["name"].endswith("-metrics")]
    assert {pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in after["Pod"]} == {"200Mi", "256Mi"}
    found = {row.name: row.p2p_address.rpartition("/")[2] for row in made.miners}
    assert known.items() <= found.items(), "an identity was lost"
    config = next(obj for obj in after["ConfigMap"] if obj["metadata"]["name"] == "miner-1")
    assert json.loads(config["data"]["config.json"])["main"]["genesis-active-size"] == 4


async def test_genesis_missed_and_fixed_anew(lab: Target, network: str) -> None:
    """The error tells how many minutes to ask for, and asking for them works."""
    spec = lab.spec(network, **SIZES)
    await killing.killed(killing.start(spec, {}, after_task=5))
    set_genesis(lab, network, datetime.now(UTC))
    before, known = lab.objects(network), await identities(network)
    with pytest.raises(Permanent) as caught:
        await deploy(spec)
    enough = re.search(r"genesis_delay_minutes raised by \d+, to (\d+)", str(caught.value))
    assert enough, caught.value

    began = datetime.now(UTC)
    made = await deploy({**spec, "genesis_delay_minutes": int(enough[1])})

    assert made.genesis >= began + timedelta(minutes=int(enough[1])) - timedelta(seconds=1)
    assert [text.partition(":")[0] for text in made.corrected] == ["genesis_delay_minutes", "genesis"]
    after = lab.objects(network)
    assert keys_of(before).items() <= keys_of(after).items()
    assert known.items() <= {row.name: row.p2p_address.rpartition("/")[2] for row in made.miners}.items()
    told = {
        json.loads(obj["data"]["config.json"])["main"]["genesis-time"] for obj in after["ConfigMap"] if obj["metadata"]["name"].startswith("miner-")
    }
    assert {datetime.fromisoformat(text) for text in told} == {made.genesis}
    assert record_of(lab, network)["completed"]


async def test_what_cannot_be_corrected_is_refused_with_the_reason(lab: Target, network: str) -> None:
    """All of it at once; nothing is changed."""
    spec = lab.spec(network, **SIZES)
    await killing.killed(killing.start(spec, {}, after_task=2))
    begun = record_of(lab, network)
    with pytest.raises(SpecError) as caught:
        await deploy(
            {**spec, "miners": {**spec["miners"], "count": 2, "disk": "2Gi"}, "volumes": {"kind": "ephemeral"}, "images": {"node": "me/node:2"}}
        )
    text = str(caught.value)
    assert "miners.count: the network has 3, asked for is 2; miners that were made would be left over" in text
    assert "miners.disk: the network has '1Gi', asked for is '2Gi'; a disk's size is fixed when it is made" in text
    assert "volumes.kind" in text
    assert "images.node" not in text
    assert record_of(lab, network) == begun


async def test_two_runs_do_not_correct_one_another(lab: Target, network: str) -> None:
    """The record was changed between a run's look and its write: it stops, and the other's record stands."""
    from tasks.spacemesh import recording

    spec = lab.spec(network, **SIZES)
    await killing.killed(killing.start(spec, {}, after_task=2))
    real, moved = recording.read_record, []

    def meanwhile(config_map: Any) -> Any:
        found = real(config_map)
        if not moved:
            moved.append(set_genesis(lab, network, datetime.now(UTC) + timedelta(hours=1)))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "read_record", meanwhile)
        with pytest.raises(Permanent, match="was changed by somebody else while this run was at work"):
            await deploy({**spec, "miners": {**spec["miners"], "memory": "200Mi"}})
    assert record_of(lab, network)["settings"]["miners"]["memory"] == "256Mi"


async def test_a_lost_miner_of_a_complete_network_is_made_again(lab: Target, network: str) -> None:
    """Genesis was met once and for all: a miner that is made anew months later has not missed it."""
    spec = lab.spec(network, **SIZES)
    made = await deploy(spec)
    set_genesis(lab, network, made.genesis - timedelta(days=60))
    lab.delete(f"/apis/apps/v1/namespaces/{network}/deployments/miner-3")
    again = await deploy(spec)
    assert again.changes.created == 1
    assert all(row.ready for row in again.miners)
