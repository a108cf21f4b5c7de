"""A Spacemesh network on a whole lab, deployed by hand through the API: what a flow will find there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.lab.labs import RunningLab, running_lab

NAMESPACE = "net"


class Hands:
    """Does things to a cluster over plain HTTP."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.http = httpx.AsyncClient(base_url=lab.kubernetes, headers={"Authorization": f"Bearer {lab.token}"}, trust_env=False)

    async def create(self, path: str, obj: dict[str, Any]) -> None:
        answer = await self.http.post(path, json=obj)
        assert answer.status_code == 201, answer.text

    async def get(self, path: str) -> dict[str, Any]:
        return dict((await self.http.get(path)).json())

    async def pod(self, name: str) -> dict[str, Any] | None:
        found = (await self.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=name={name}"))["items"]
        return found[0] if found else None

    async def until_ready(self, name: str) -> dict[str, Any]:
        return await until(
            lambda: self.pod(name), lambda pod: pod and all(c["ready"] for c in pod["status"].get("containerStatuses", [{"ready": False}]))
        )

    async def log(self, name: str) -> str:
        pod = await self.pod(name)
        assert pod
        return (await self.http.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}/log")).text

    async def fault(self, **wish: Any) -> None:
        answer = await self.http.post(f"{self.lab.control}/faults", json=wish)
        assert answer.status_code == 201, answer.text


async def until(look: Callable[[], Any], good: Callable[[Any], Any]) -> Any:
    for _ in range(600):
        seen = await look()
        if good(seen):
            return seen
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited in vain, last seen: {json.dumps(seen)[:3000]}")


@pytest.fixture
async def hands() -> AsyncIterator[Hands]:
    async with running_lab(speed=60, arguments=("--nodes", "2", "--no-storage")) as lab:
        made = Hands(lab)
        await made.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        yield made
        await made.http.aclose()


def workload(
    name: str, image: str, command: list[str], files: dict[str, str], port: int, host_port: int | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Everything one miner or PoET needs, with the path to send it to."""
    ports: list[dict[str, Any]] = [{"containerPort": port}]
    if host_port:
        ports.append({"containerPort": host_port, "hostPort": host_port})
    container = {
        "name": "main", "image": image, "command": command, "ports": ports,
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 5},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}, {"name": "data", "mountPath": "/root"}],
    }  # fmt: skip
    volumes = [{"name": "config", "configMap": {"name": name}}, {"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    template = {"metadata": {"labels": {"name": name}}, "spec": {"containers": [container], "volumes": volumes}}
    core, apps = f"/api/v1/namespaces/{NAMESPACE}", f"/apis/apps/v1/namespaces/{NAMESPACE}"
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    deployment = {"strategy": {"type": "Recreate"}, "selector": {"matchLabels": {"name": name}}, "template": template}
    return [
        (f"{core}/configmaps", {"metadata": {"name": name}, "data": files}),
        (f"{core}/persistentvolumeclaims", {"metadata": {"name": name}, "spec": claim}),
        (f"{core}/services", {"metadata": {"name": name}, "spec": {"type": "NodePort", "selector": {"name": name}, "ports": [{"port": port}]}}),
        (f"{apps}/deployments", {"metadata": {"name": name}, "spec": deployment}),
    ]


def miner(number: int, genesis: datetime, bootnodes: list[str]) -> list[tuple[str, dict[str, Any]]]:
    main = {"genesis-time": genesis.isoformat(), "layer-duration-sec": 60, "layers-per-epoch": 4, "poet-server": "poet-1:5000"}
    port = 5000 + number
    command = [
        "/bin/go-spacemesh", f"--listen=/ip4/0.0.0.0/tcp/{port}", "--config=/etc/config/config.json", "-d=/root/data/node",
        "--smeshing-coinbase=02" + f"{number:064x}", "--smeshing-start=true", "--smeshing-opts-datadir=/root/data/post",
        "--log-encoder=json", "--grpc-port=6000",
    ]  # fmt: skip
    files = {"config.json": json.dumps({"main": main, "p2p": {"network-id": 7, "bootnodes": bootnodes}})}
    return workload(f"miner-{number}", "spacemeshos/go-spacemesh-dev:d298a63", command, files, 6000, port)


async def deploy(hands: Hands, objects: list[tuple[str, dict[str, Any]]]) -> None:
    for path, obj in objects:
        await hands.create(path, obj)


async def p2p_address(hands: Hands, number: int) -> str:
    """As the tool of old found it: the node's external address, the host port, the identity from the log."""
    pod = await hands.until_ready(f"miner-{number}")
    node = await hands.get(f"/api/v1/nodes/{pod['spec']['nodeName']}")
    external = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "ExternalIP")
    lines = [json.loads(line) for line in (await hands.log(f"miner-{number}")).splitlines()]
    identity = next(line["identity"] for line in lines if "identity" in line)
    return f"/ip4/{external}/tcp/{5000 + number}/p2p/{identity}"


async def test_a_network_comes_up_and_survives_a_crash(hands: Hands) -> None:
    genesis = datetime.now(UTC) + timedelta(minutes=2)
    await deploy(hands, miner(1, genesis, []))
    boot = await p2p_address(hands, 1)
    for number in (2, 3):
        await deploy(hands, miner(number, genesis, [boot]))
    poet = ["/bin/poet", "--restlisten=0.0.0.0:5000", "--initialduration=180s", "--jsonlog", "--configfile=/etc/config/poet.conf"]
    await deploy(hands, workload("poet-1", "spacemeshos/poet:develop", poet, {"poet.conf": 'duration="240s"\nn="21"\n'}, 5000))
    for name in ("miner-2", "miner-3", "poet-1"):
        await hands.until_ready(name)

    # The PoET is activated through its node port, by gateways named by the cluster's DNS.
    service = await hands.get(f"/api/v1/namespaces/{NAMESPACE}/services/poet-1")
    place = boot.split("/")[2] + f":{service['spec']['ports'][0]['nodePort']}"
    started = await hands.http.post(f"http://{place}/v1/start", json={"gatewayAddresses": ["miner-1:6000", "miner-2.net.svc:6000"]})
    assert started.status_code == 200, started.text

    async def network() -> dict[str, Any]:
        return dict((await hands.get(f"{hands.lab.control}/networks"))["networks"][0])

    seen = await until(network, lambda n: len(n["nodes"]) == 3 and all(v["verified_layer"] >= 2 and v["is_synced"] for v in n["nodes"].values()))
    assert sorted(node["connected_peers"] for node in seen["nodes"].values()) == [1, 1, 2]

    await hands.fault(place="program", target="^net/miner-1-", effect="crash", options={"code": 3, "line": "disk on fire"}, times=1)
    crashed = await until(lambda: hands.pod("miner-1"), lambda pod: (pod["status"]["containerStatuses"][0].get("lastState") or {}).get("terminated"))
    assert crashed["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3
    assert await p2p_address(hands, 1) == boot  # the identity is on the volume
    await until(network, lambda n: sorted(node["connected_peers"] for node in n["nodes"].values()) == [1, 1, 2])


async def test_a_miner_that_cannot_use_its_configuration_says_why(hands: Hands) -> None:
    objects = miner(1, datetime.now(UTC), [])
    objects[0][1]["data"]["config.json"] = '{"main": {"layer-duration-sec": 60}}'
    await deploy(hands, objects)
    pod = await until(lambda: hands.pod("miner-1"), lambda pod: pod and any(c["restartCount"] for c in pod["status"].get("containerStatuses", [])))
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    assert "poet server" in await hands.log("miner-1")


async def test_an_image_that_is_not_there_is_not_pulled(hands: Hands) -> None:
    await deploy(hands, workload("miner-1", "spacemeshos/go-spacemesh-dev:nosuch", ["x"], {"config.json": "{}"}, 6000))

    def waits(pod: Any) -> Any:
        return pod and [
            c for c in pod["status"].get("containerStatuses", []) if (c["state"].get("waiting") or {}).get("reason") == "ImagePullBackOff"
        ]

    pod = await until(lambda: hands.pod("miner-1"), waits)
    assert "not found" in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
