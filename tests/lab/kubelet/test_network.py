"""Ways to pods: cluster IPs, node ports, host ports, names."""

from __future__ import annotations

import asyncio
from typing import Any

from lab.kubernetes.kinds import ENDPOINT_SLICE, SERVICE
from tests.lab.kubelet.conftest import Bench, Obj, running


class Echo:
    """A program that says its pod's name to whoever connects."""

    async def run(self, container: Any) -> int:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(container.pod.encode() + b" " + await reader.read())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(greet, container.ip, 8745)
        async with server:
            await container.stopping.wait()
        return 0


async def ask(address: str, port: int, text: bytes = b"hello") -> bytes:
    """What the other side answers; b"" when it refuses."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(text)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
    except OSError:
        return b""
    return answer


def echo_everywhere(monkeypatch: Any) -> None:
    monkeypatch.setattr("lab.images.ImageEntry.program", lambda entry: Echo())


def endpoints(bench: Bench, service: str, pods: list[Obj]) -> None:
    found = [{"addresses": [pod["status"]["podIP"]], "conditions": {"ready": True}, "nodeName": "node1", "hostname": "p"} for pod in pods]
    body = {
        "metadata": {"name": f"{service}-abcde", "labels": {"kubernetes.io/service-name": service}}, "addressType": "IPv4", "endpoints": found,
        "ports": [{"name": "", "port": 8745, "protocol": "TCP"}],
    }  # fmt: skip
    bench.registry.create(ENDPOINT_SLICE, body, "default")


async def test_cluster_ip_and_node_port(bench: Bench, monkeypatch: Any) -> None:
    echo_everywhere(monkeypatch)
    bench.pod()
    pod = await bench.until(running)
    address = f"127.{bench.around.addresses.second_octet}.200.1"
    spec = {"type": "NodePort", "clusterIP": address, "ports": [{"port": 9000, "targetPort": 8745, "nodePort": 30123}]}
    bench.registry.create(SERVICE, {"metadata": {"name": "echo"}, "spec": spec}, "default")
    await asyncio.sleep(0)
    assert await ask(address, 9000) == b""  # nobody behind it yet
    endpoints(bench, "echo", [pod])
    assert await ask(address, 9000) == b"p hello"
    for machine in bench.kubelet.machines.values():
        assert await ask(machine.external_ip, 30123, b"x" * 300_000) == b"p " + b"x" * 300_000
    bench.registry.delete(SERVICE, "default", "echo")
    await asyncio.sleep(0)
    assert await ask(address, 9000) == b""


async def test_host_port(bench: Bench, monkeypatch: Any) -> None:
    echo_everywhere(monkeypatch)
    bench.pod(ports=[{"containerPort": 8745, "hostPort": 7513}])
    await bench.until(running)
    one, other = bench.kubelet.machines.values()
    assert await ask(one.external_ip, 7513) == b"p hello"
    assert await ask(other.external_ip, 7513) == b""


async def test_names(bench: Bench, monkeypatch: Any) -> None:
    echo_everywhere(monkeypatch)
    bench.pod()
    pod = await bench.until(running)
    address = f"127.{bench.around.addresses.second_octet}.200.2"
    bench.registry.create(SERVICE, {"metadata": {"name": "with-ip"}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}}, "default")
    bench.registry.create(SERVICE, {"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": [{"port": 8745}]}}, "default")
    endpoints(bench, "headless", [pod])
    resolve = bench.around.shared["resolve"]
    for name in ("with-ip", "with-ip.default", "with-ip.default.svc", "with-ip.default.svc.cluster.local."):
        assert resolve(name, "default") == [address]
    assert resolve("with-ip", "elsewhere") == []
    assert resolve("headless.default.svc", "elsewhere") == resolve("p.headless", "default") == [pod["status"]["podIP"]]
    assert resolve("other.headless", "default") == []
    assert resolve("127.0.0.9", "default") == ["127.0.0.9"]
