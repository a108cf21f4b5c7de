"""Killed with SIGKILL anywhere and run again: the same network as if nothing had happened, keys and identities kept, nothing double."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e import killing
from tests.e2e.cluster import Target, keys_of, likeness, merged, pods_of

# 1 check, 2 namespace and record, 3 PoETs, 4 bootstrap node, 5 bootnodes, 6 miners, 7 genesis, 8 activation, 9 publication, 10 completion, 11 report
TASKS = 11
SIZES: dict[str, Any] = {"miners": 3, "bootnodes": 1}


async def deploy(spec: dict[str, Any], **options: Any) -> Any:
    from flows.deploy_network import deploy_network

    return await deploy_network(spec, **options)


@pytest.fixture(scope="session")
def undisturbed() -> dict[str, Any]:
    """What a network looks like that nobody disturbed; filled by the first test that needs it."""
    return {}


async def model_of(target: Target, name: str, undisturbed: dict[str, Any]) -> dict[str, Any]:
    """The likeness of a network that was deployed in one go, under that name."""
    if not undisturbed:
        from flows.delete_network import delete_network

        await deploy(target.spec(name, **SIZES), **options_of(target))
        undisturbed.update(likeness(target.objects(name)))
        await delete_network(name)
    return undisturbed


def options_of(target: Target) -> dict[str, Any]:
    """With the lab, publish too."""
    return {"data_bucket": "lab-data"} if target.lab else {}


async def compare(target: Target, network: str, undisturbed: dict[str, Any], **death: int) -> None:
    """Die, look, run again, look again."""
    expected = await model_of(target, network, undisturbed)
    spec = target.spec(network, **SIZES)
    await killing.killed(killing.start(spec, options_of(target), **death))
    before = target.objects(network) if target.has_namespace(network) else {"Secret": [], "Pod": [], "ConfigMap": []}

    report = await deploy(spec, **options_of(target))

    after = target.objects(network)
    assert likeness(after) == expected
    assert len(keys_of(after)) == 3
    assert merged(keys_of(after), keys_of(before)) == keys_of(after), "a key was made anew"
    assert len(after["Pod"]) == 4
    assert merged(pods_of(after), pods_of(before)) == pods_of(after), "a pod was made anew"
    assert record(before) in (None, record(after)), "the record was written twice"
    assert len({row.p2p_address for row in report.miners}) == 3
    again = await deploy(spec, **options_of(target))
    assert again.changes.created == again.changes.changed == 0
    assert [row.p2p_address for row in again.miners] == [row.p2p_address for row in report.miners]


def record(objects: dict[str, Any]) -> str | None:
    """What the network's record says, but for when it was completed."""
    texts = [obj["data"]["record.json"] for obj in objects["ConfigMap"] if obj["metadata"]["name"] == "network-record"]
    return json.dumps({**json.loads(texts[0]), "completed": None}) if texts else None


@pytest.mark.parametrize("task", range(1, TASKS + 1))
async def test_killed_after_task(target: Target, network: str, undisturbed: dict[str, Any], task: int) -> None:
    """After each task in turn."""
    await compare(target, network, undisturbed, after_task=task)


@pytest.mark.parametrize("write", [1, 2, 5, 9, 17])
async def test_killed_after_write(target: Target, network: str, undisturbed: dict[str, Any], write: int) -> None:
    """Between two objects: namespace, record, amid a PoET, before and after a miner's Secret."""
    await compare(target, network, undisturbed, after_write=write)


def test_all_tasks_are_counted() -> None:
    """ensure_miners runs three times; every other task once."""
    assert len(killing.stages()) - 1 + 2 == TASKS  # show_plan does not run here
