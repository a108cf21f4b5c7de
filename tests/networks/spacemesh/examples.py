"""What tests of networks start from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from networks.spacemesh.model import SpacemeshNetwork
from networks.spacemesh.nodes import WorkerNode
from networks.spacemesh.plan import Facts, NetworkPlan, make_plan

NOW = datetime(2026, 11, 22, 5, 56, 15, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 18, 0, 1, tzinfo=UTC)

JOINING: dict[str, Any] = {
    "main": {"layer-duration-sec": 60, "layers-per-epoch": 6, "genesis-time": "2026-11-20T12:00:00Z"},
    "p2p": {"network-id": 7, "bootnodes": ["/ip4/203.0.113.9/tcp/5002/p2p/12D3KooWAbc", "/ip4/203.0.113.10/tcp/5003/p2p/12D3KooWDef"]},
}


def worker(number: int, **changes: Any) -> WorkerNode:
    node = WorkerNode(f"node-{number}", f"203.0.113.{number}", f"10.0.0.{number}", cpu="16", memory="64Gi")
    return replace(node, **changes)


WORKERS = (worker(2), worker(3), worker(1))


def facts(**changes: Any) -> Facts:
    return replace(Facts(now=NOW, run_id="run-1", nodes=WORKERS), **changes)


def network(**fields: Any) -> SpacemeshNetwork:
    return SpacemeshNetwork(**{"name": "try", **fields})


def plan(**fields: Any) -> NetworkPlan:
    return make_plan(network(**fields), facts())


def big_enough(count: int, **changes: Any) -> tuple[WorkerNode, ...]:
    return tuple(worker(number, **changes) for number in range(1, count + 1))


def objects_of(plan: NetworkPlan) -> list[dict[str, Any]]:
    """All objects of a plan, with made-up addresses."""
    seeds = {m.number: f"/ip4/203.0.113.1/tcp/{m.port}/p2p/12D3KooW{m.number}" for m in plan.miners}
    found = [*plan.base_objects(), plan.record_object()]
    for poet in plan.poets:
        found += plan.poet_objects(poet)
    for miner in plan.miners:
        address = plan.poet_address(plan.poets[miner.poet], 30000 + miner.poet)
        found += plan.miner_objects(miner, address, tuple(seeds[seed.number] for seed in plan.seeds(miner)))
    return found
