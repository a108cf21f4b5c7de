"""A real binary in a program's place: `--program IMAGE=FILE`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from tests.lab.labs import running_lab

# It says what it was started with, listens on the port of its configuration, and keeps a file in its volume.
BINARY = """#!/usr/bin/env python3
import pathlib, socket, sys
config = dict(line.split("=") for line in pathlib.Path(sys.argv[sys.argv.index("--config") + 1]).read_text().split())
pathlib.Path("/data/started").write_text("yes")
server = socket.socket()
server.bind(("0.0.0.0", int(config["port"])))
server.listen()
print("real", *sys.argv[1:], flush=True)
while True:
    connection, peer = server.accept()
    connection.sendall(config["answer"].encode())
    connection.close()
"""


def pod(name: str, **container: Any) -> dict[str, Any]:
    mounts = [{"name": "config", "mountPath": "/etc/core"}, {"name": "data", "mountPath": "/data"}]
    volumes = [{"name": "config", "configMap": {"name": name}}, {"name": "data", "emptyDir": {}}]
    ready = {"tcpSocket": {"port": 11626}, "periodSeconds": 1, "failureThreshold": 100}
    whole = {"name": "core", "image": "stellar/stellar-core:19", "volumeMounts": mounts, "readinessProbe": ready, **container}
    return {"metadata": {"name": name}, "spec": {"containers": [whole], "volumes": volumes, "terminationGracePeriodSeconds": 1}}


async def test_a_binary_runs_in_the_pod_with_its_files_and_on_its_address(tmp_path: Path) -> None:
    binary = tmp_path / "stellar-core"
    binary.write_text(BINARY)
    binary.chmod(0o755)
    arguments = ("--no-storage", "--program", f"stellar/stellar-core={binary}")
    headers = {"Authorization": "Bearer lab-admin"}
    async with running_lab(speed=10, arguments=arguments) as lab, aiohttp.ClientSession(lab.kubernetes, headers=headers) as api:
        space = "/api/v1/namespaces/default"
        named = {
            "one": {"args": ["run", "--config", "/etc/core/settings"]},
            "two": {"command": ["/usr/bin/stellar-core", "--config", "/etc/core/settings"]},
        }
        for name, container in named.items():
            settings = {"metadata": {"name": name}, "data": {"settings": f"port=11626\nanswer={name}"}}
            assert (await api.post(f"{space}/configmaps", json=settings)).status == 201
            assert (await api.post(f"{space}/pods", json=pod(name, **container))).status == 201
        for name in named:
            status = await _ready(api, f"{space}/pods/{name}")
            reader, writer = await asyncio.open_connection(status["podIP"], 11626)
            assert await reader.read() == name.encode()
            writer.close()
        assert await (await api.get(f"{space}/pods/one/log")).text() == "real run --config /etc/core/settings\n"
        assert await (await api.get(f"{space}/pods/two/log")).text() == "real --config /etc/core/settings\n"
        query = "command=cat&command=/data/started&stdout=true"
        async with api.ws_connect(f"{space}/pods/one/exec?{query}", protocols=("v5.channel.k8s.io",)) as socket:
            assert [(await socket.receive_bytes()) for _ in range(2)] == [b"\x01", b"\x01yes"]


async def _ready(api: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            status: dict[str, Any] = (await (await api.get(path)).json())["status"]
            if any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ()):
                return status
            await asyncio.sleep(0.05)
