"""Real processes listen on their pod's own address, whatever they ask for."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from lab.programs.ports import guards_work
from tests.lab.kubelet.conftest import Bench, running

pytestmark = pytest.mark.skipif(not guards_work(), reason="this machine does not let a process look at its children's calls")

SERVE = """
import socket
server = socket.socket({family})
server.bind(("{host}", 9000))
server.listen()
print("listening", flush=True)
while True:
    connection, peer = server.accept()
    connection.sendall(b"{answer}")
    connection.close()
"""


async def execute(bench: Bench, pod: dict[str, Any], container: str, script: str) -> tuple[int, bytes]:
    run = next(state.current for state in bench.kubelet.states(pod["metadata"]["uid"]) if state.name == container)
    assert run and run.container
    done: tuple[int, bytes] = await cast(Any, run.program).execute(run.container, ["python3", "-c", script], 10)
    return done


def server(name: str, host: str = "0.0.0.0", family: str = "socket.AF_INET") -> dict[str, Any]:
    return {"name": name, "image": "python:3.11", "command": ["python3", "-c", SERVE.format(family=family, host=host, answer=name)]}


async def until_printed(bench: Bench, pod: str, text: str, container: str) -> None:
    async with asyncio.timeout(15):
        while text not in await bench.log(pod, container=container):
            await asyncio.sleep(0.02)


async def asked(address: str) -> bytes:
    reader, writer = await asyncio.open_connection(address, 9000)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(("host", "family"), [("0.0.0.0", "socket.AF_INET"), ("127.0.0.1", "socket.AF_INET"), ("::", "socket.AF_INET6")])
async def test_two_pods_can_have_the_same_port(bench: Bench, host: str, family: str) -> None:
    for name in ("one", "two"):
        bench.pod(name, containers=[server(name, host, family)])
    for name in ("one", "two"):
        pod = await bench.until(running, name)
        await until_printed(bench, name, "listening", name)
        assert await asked(pod["status"]["podIP"]) == name.encode()


async def test_containers_of_a_pod_share_localhost_and_the_port_is_taken_there(bench: Bench) -> None:
    look = "import socket; print('from localhost', socket.create_connection(('localhost', 9000)).recv(10))"
    take = "import socket; s = socket.socket(); s.bind(('0.0.0.0', 9000))"
    bench.pod("p", containers=[server("web"), {"name": "other", "image": "busybox:1.36", "command": ["sleep", "60"]}])
    pod = await bench.until(running, "p")
    await until_printed(bench, "p", "listening", "web")
    assert await execute(bench, pod, "other", look) == (0, b"from localhost b'web'\n")
    code, output = await execute(bench, pod, "other", take)
    assert code == 1 and b"Address already in use" in output


async def test_low_ports_stand_elsewhere_where_the_lab_may_not_open_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.addresses._may_open", lambda port: False)
    look = "import socket; print(socket.create_connection(('{0}', 80)).recv(10))"
    low = server("web")
    low["command"][2] = low["command"][2].replace("9000", "80")
    bench.pod("p", containers=[low, {"name": "other", "image": "busybox:1.36", "command": ["sleep", "60"]}])
    pod = await bench.until(running, "p")
    await until_printed(bench, "p", "listening", "web")
    for host in ("localhost", pod["status"]["podIP"]):
        assert await execute(bench, pod, "other", look.format(host)) == (0, b"b'web'\n")
