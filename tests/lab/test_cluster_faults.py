"""Faults of the cluster, asked for as tests ask: what clients, controllers and pods notice of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lab.clock import Clock
from lab.cluster import Cluster
from lab.faults import Fault, Faults
from lab.kubelet import kubelet
from lab.kubelet.nodes import LEASE_NAMESPACE, NodeSpec
from lab.kubernetes.auth import ADMIN_TOKEN
from lab.kubernetes.context import SYSTEM
from lab.kubernetes.kinds import CONFIG_MAP, LEASE, NODE, PDB, POD
from tests.lab.controllers.world import cluster as controllers_only

Obj = dict[str, Any]


class Lab:
    """A cluster of one node, and its faults."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.cluster = Cluster(Clock(100), self.faults)
        self.registry = self.cluster.registry

    def pod(self, name: str, **labels: str) -> None:
        spec = {"containers": [{"name": "main", "image": "example/pause"}], "terminationGracePeriodSeconds": 1}
        self.registry.create(POD, {"metadata": {"name": name, "labels": labels}, "spec": spec}, "default")

    def ready(self, name: str) -> bool:
        pod = self.registry.find(POD, "default", name)
        return pod is not None and condition(pod, "Ready").get("status") == "True"

    async def until(self, fits: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not fits():
                await asyncio.sleep(0.01)

    async def get(self, path: str) -> tuple[int, Obj]:
        async with self._session() as session, session.get(path) as answer:
            return answer.status, await answer.json()

    async def watched(self, path: str, begun: asyncio.Event) -> list[Obj]:
        """What comes until the watch ends by itself."""
        async with self._session() as session, session.get(path) as answer:
            begun.set()
            return [json.loads(line) async for line in answer.content]

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self.cluster.url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=aiohttp.ClientTimeout(20))


def condition(obj: Obj, kind: str) -> Obj:
    """A condition of an object's status; empty when it has none."""
    return next((one for one in obj["status"].get("conditions") or () if one["type"] == kind), {})


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab()
    try:
        await made.cluster.start(tmp_path, lambda block: [NodeSpec("node1", block.node(1), block.node(1))])
        yield made
    finally:
        await made.cluster.stop()


async def test_a_node_without_heartbeat_is_unknown_and_its_pods_go_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def heard() -> str:
        return str(lab.registry.get(LEASE, LEASE_NAMESPACE, "node1")["spec"]["renewTime"])

    def state() -> str:
        return str(condition(lab.registry.get(NODE, "", "node1"), "Ready")["status"])

    monkeypatch.setattr(kubelet, "_LEAST_BEAT", 0.01)
    lab.pod("p")
    await lab.until(lambda: lab.ready("p"))
    before = lab.registry.get(POD, "default", "p")["status"]["containerStatuses"][0]
    fault = lab.faults.add(Fault("node", "^node1$", "no-heartbeat"))
    await lab.until(lambda: state() == "Unknown")
    last = heard()
    await lab.cluster.registry.clock.sleep(25)
    assert heard() == last
    after = lab.registry.get(POD, "default", "p")["status"]["containerStatuses"][0]
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)
    assert fault.hits == 1
    lab.faults.remove(fault.id)
    await lab.until(lambda: state() == "True" and heard() > last)


async def test_a_pod_is_evicted_as_soon_as_its_budget_allows(lab: Lab) -> None:
    seen: list[Obj] = []
    lab.registry.store.listen(POD, lambda event: seen.append(event.object))
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
    lab.registry.create(PDB, budget, "default")
    lab.pod("one", app="web")
    await lab.until(lambda: lab.ready("one") and lab.registry.get(PDB, "default", "b")["status"].get("currentHealthy") == 1)
    fault = lab.faults.add(Fault("pod", "^default/one$", "evict", times=1))
    await asyncio.sleep(0.5)
    assert (lab.ready("one"), fault.matches) == (True, 0)
    lab.pod("two", app="web")
    await lab.until(lambda: lab.registry.find(POD, "default", "one") is None)
    marked = next(condition(pod, "DisruptionTarget") for pod in seen if condition(pod, "DisruptionTarget"))
    assert (marked["reason"], marked["message"]) == ("EvictionByEvictionAPI", "Eviction API: evicting")
    assert lab.faults.all() == []
    assert lab.ready("two")


async def test_open_watches_expire_and_the_next_one_goes_on(lab: Lab) -> None:
    def put(name: str) -> None:
        lab.registry.create(CONFIG_MAP, {"metadata": {"name": name}}, "default")

    put("a")
    begun = asyncio.Event()
    path = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=15&fieldSelector=metadata.name%3Da"
    events = asyncio.create_task(lab.watched(path, begun))
    await begun.wait()
    fault = lab.faults.add(Fault("watch", "^GET /api/v1/namespaces/default/pods", "expire"))
    lab.faults.add(Fault("watch", "^GET /api/v1/namespaces/default/configmaps", "expire", times=1))
    added, error = await events
    assert (added["type"], added["object"]["metadata"]["name"]) == ("ADDED", "a")
    status = error.pop("object")
    assert error == {"type": "ERROR"}
    assert status.pop("message").startswith("too old resource version: ")
    assert status == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410}
    assert lab.faults.all() == [fault]
    assert fault.matches == 0
    again = await lab.watched(path.replace("timeoutSeconds=15", "timeoutSeconds=1"), begun)
    assert [event["type"] for event in again] == ["ADDED"]


async def test_the_history_is_forgotten(lab: Lab) -> None:
    for name in ("a", "b"):
        lab.registry.create(CONFIG_MAP, {"metadata": {"name": name}}, "default")
    path = "/api/v1/namespaces/default/configmaps"
    _, page = await lab.get(f"{path}?limit=1")
    token, version = page["metadata"]["continue"], page["metadata"]["resourceVersion"]
    lab.registry.create(CONFIG_MAP, {"metadata": {"name": "c"}}, "default")
    assert (await lab.get(f"{path}?limit=1&continue={token}"))[0] == 200
    lab.faults.add(Fault("history", "", "compact", times=1))
    await lab.until(lambda: not lab.faults.all())
    code, status = await lab.get(f"{path}?limit=1&continue={token}")
    assert (code, status["reason"]) == (410, "Expired")
    (event,) = await lab.watched(f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=5", asyncio.Event())
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert (await lab.get(path))[0] == 200


async def test_the_scheduler_takes_its_time_for_each_pod() -> None:
    async with controllers_only(speed=100) as lab:
        lab.faults.add(Fault("scheduler", "^demo/slow-", "slow", {"seconds": 20}))
        began = lab.registry.clock.monotonic()
        for name in ("slow-1", "slow-2", "quick"):
            lab.registry.create(POD, {"metadata": {"name": name}, "spec": {"containers": [{"name": "m", "image": "x"}]}}, "demo", SYSTEM)
        await lab.until(lambda: all(pod["spec"].get("nodeName") for pod in lab.pods()))
        assert lab.registry.clock.monotonic() - began >= 40  # lab seconds: one pod after the other
        assert [fault.hits for fault in lab.faults.all()] == [2]


async def test_what_stands_is_no_news(lab: Lab) -> None:
    """A pod or a watch is one match, however often the lab looks: `after` counts pods, not looks."""
    lab.pod("one")
    await lab.until(lambda: lab.ready("one"))
    fault = lab.faults.add(Fault("pod", "^default/", "evict", times=1, after=1))
    await lab.until(lambda: fault.matches == 1)
    await asyncio.sleep(0.5)
    assert (fault.matches, lab.ready("one")) == (1, True)
    lab.pod("two")
    await lab.until(lambda: lab.registry.find(POD, "default", "two") is None)
    assert lab.ready("one")
