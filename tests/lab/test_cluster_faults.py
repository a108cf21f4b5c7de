"""Faults of the cluster, asked for as tests ask: what clients, controllers and pods notice of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from lab.clock import Clock
from lab.cluster import Cluster
from lab.faults import Fault, Faults
from lab.kubelet import kubelet
from lab.kubelet.nodes import LEASE_NAMESPACE, NodeSpec
from lab.kubernetes.auth import ADMIN_TOKEN
from lab.kubernetes.context import SYSTEM
from lab.kubernetes.kinds import CONFIG_MAP, LEASE, NODE, PDB, POD, SERVICE
from lab.programs.ports import guards_work
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
        async with self.session() as session, session.get(path) as answer:
            return answer.status, await answer.json()

    async def watched(self, path: str, begun: asyncio.Event) -> list[Obj]:
        """What comes until the watch ends by itself."""
        async with self.session() as session, session.get(path) as answer:
            begun.set()
            return [json.loads(line) async for line in answer.content]

    def session(self) -> aiohttp.ClientSession:
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


SERVER = """
import socket
server = socket.create_server(('0.0.0.0', 9000))
while True:
    connection, _ = server.accept()
    connection.sendall(b'hello')
    connection.recv(1)
    connection.close()
"""
ASK = "import socket; print(socket.create_connection(('{}', {}), 5).recv(9).decode())"
HOLD = """
import socket
held = socket.create_connection(('{}', {}))
held.recv(9)
print('open', flush=True)
try:
    held.recv(9)
except OSError:
    pass
print('cut')
"""


def python(lab: Lab, name: str, script: str) -> None:
    spec = {"containers": [{"name": "main", "image": "python:3.11", "command": ["python3", "-c", script]}], "restartPolicy": "Never"}
    labels = {"app": name}
    lab.registry.create(POD, {"metadata": {"name": name, "labels": labels}, "spec": spec | {"terminationGracePeriodSeconds": 1}}, "default")


async def execute(lab: Lab, name: str, script: str) -> tuple[int, bytes]:
    assert lab.cluster.kubelet
    run = lab.cluster.kubelet.states(lab.registry.get(POD, "default", name)["metadata"]["uid"])[0].current
    assert run
    done: tuple[int, bytes] = await cast(Any, run.program).execute(run.container, ["python3", "-c", script], 10)
    return done


async def said(lab: Lab, name: str, text: str) -> None:
    """Wait until a pod has printed something."""
    async with asyncio.timeout(20):
        while True:
            async with lab.session() as session, session.get(f"/api/v1/namespaces/default/pods/{name}/log") as answer:
                if text in await answer.text():
                    return
            await asyncio.sleep(0.05)


@pytest.mark.skipif(not guards_work(), reason="this machine does not let a process look at its children's calls")
async def test_a_partition_parts_real_processes(lab: Lab) -> None:
    python(lab, "server", SERVER)
    ports = [{"port": 9000}]
    service = lab.registry.create(SERVICE, {"metadata": {"name": "s"}, "spec": {"selector": {"app": "server"}, "ports": ports}}, "default")
    await lab.until(lambda: lab.ready("server"))
    places = [(lab.registry.get(POD, "default", "server")["status"]["podIP"], 9000), (service["spec"]["clusterIP"], 9000)]
    for name in ("near", "far"):
        python(lab, name, "import time; time.sleep(3600)")
    await lab.until(lambda: lab.ready("near") and lab.ready("far"))

    async def answers(name: str) -> list[int]:
        return [(await execute(lab, name, ASK.format(*place)))[0] for place in places]

    async with asyncio.timeout(20):
        while await answers("far") != [0, 0]:
            await asyncio.sleep(0.1)
    python(lab, "holder", HOLD.format(*places[1]))
    await said(lab, "holder", "open")
    fault = lab.faults.add(Fault("pod", "^default/(far|holder)$", "partition", {"from": "^default/server$"}))
    await said(lab, "holder", "cut")
    assert await answers("far") == [1, 1]
    assert await answers("near") == [0, 0]
    assert fault.hits >= 3
    lab.faults.remove(fault.id)
    assert await answers("far") == [0, 0]


def miner(lab: Lab, name: str, bootnodes: list[str]) -> None:
    document: Obj = {
        "main": {"genesis-time": "2020-01-01T00:00:00Z", "layer-duration-sec": 60, "layers-per-epoch": 2, "poet-server": "127.0.0.1:5000"},
        "p2p": {"network-id": 205, "bootnodes": bootnodes},
    }
    lab.registry.create(CONFIG_MAP, {"metadata": {"name": name}, "data": {"config.json": json.dumps(document)}}, "default")
    container = {
        "name": "main", "image": "spacemeshos/go-spacemesh-dev:d298a63", "volumeMounts": [{"name": "c", "mountPath": "/etc/config"}],
        "command": ["/bin/go-spacemesh", "--listen=/ip4/0.0.0.0/tcp/5001", "--json-server=true", "--config=/etc/config/config.json", "-d=/root/data",
                    "--grpc-port=6000", "--json-port=7000", "--log-encoder=json", f"--smeshing-coinbase=02{'ab' * 32}", "--smeshing-start=true"],
    }  # fmt: skip
    volumes = [{"name": "c", "configMap": {"name": name}}]
    lab.registry.create(POD, {"metadata": {"name": name}, "spec": {"containers": [container], "volumes": volumes}}, "default")


async def peers(lab: Lab, name: str) -> int:
    address = lab.registry.get(POD, "default", name)["status"]["podIP"]
    async with lab.session() as session, session.post(f"http://{address}:7000/v1/node/status", json={}) as answer:
        return int((await answer.json())["status"].get("connectedPeers", 0))


async def test_a_partition_parts_nodes_of_a_network(lab: Lab) -> None:
    async def until_peers(number: int) -> None:
        async with asyncio.timeout(20):
            while [await peers(lab, name) for name in ("miner-1", "miner-2")] != [number, number]:
                await asyncio.sleep(0.05)

    miner(lab, "miner-1", [])
    await lab.until(lambda: lab.ready("miner-1"))
    async with lab.session() as session, session.get("/api/v1/namespaces/default/pods/miner-1/log") as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    identity = next(line["identity"] for line in lines if "identity" in line)
    miner(lab, "miner-2", [f"/ip4/{lab.registry.get(POD, 'default', 'miner-1')['status']['podIP']}/tcp/5001/p2p/{identity}"])
    await lab.until(lambda: lab.ready("miner-2"))
    await until_peers(1)
    fault = lab.faults.add(Fault("pod", "^default/miner-2$", "partition"))
    await until_peers(0)
    before = fault.hits
    await lab.until(lambda: fault.hits > before)  # it calls again, and is refused
    assert await peers(lab, "miner-2") == 0
    lab.faults.remove(fault.id)
    await until_peers(1)
