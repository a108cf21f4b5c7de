"""Ports of pods through the API server, against a server that follows a script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest
from aiohttp import WSMsgType, web

from networks.errors import Permanent, Transient
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.errors import NotForwarded
from tasks.kubernetes.forwarding import forwarded
from tasks.spacemesh import reach
from tasks.spacemesh.poet import Activation, PoetServer, poet_client
from tasks.spacemesh.reach import NoWay, Reach
from tests.tasks.scripted import Answer, FakeClock, refuses, scripted_cluster

PORT = (5000).to_bytes(2, "little")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def pod(answer: Callable[[web.WebSocketResponse, bytes], Awaitable[None]]) -> Answer:
    """A pod behind the server: sends `answer` when it has been sent something."""

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        assert socket.ws_protocol == "v4.channel.k8s.io"
        await socket.send_bytes(b"\x00" + PORT)
        await socket.send_bytes(b"\x01" + PORT)
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            await answer(socket, message.data)
        return socket

    return serve


async def in_pieces(socket: web.WebSocketResponse, data: bytes) -> None:
    """Data comes and goes on channel 0."""
    assert data.startswith(b"\x00POST /v1/start") or data.startswith(b"\x00{")
    if b"gateway" in data:
        for start in range(0, len(ANSWER), 7):
            await socket.send_bytes(b"\x00" + ANSWER[start : start + 7])


async def refused(socket: web.WebSocketResponse, data: bytes) -> None:
    """Nobody listens there."""
    await socket.send_bytes(b"\x01error forwarding port 5000: connection refused")


async def activate(k8s: Connection) -> Activation:
    async with poet_client() as client, forwarded(k8s, "n", "poet-0-x", 5000) as address:
        return await PoetServer("10.0.0.1:30001", client, address).activate(["10.0.0.1:6000"])


async def test_bytes_pass_both_ways() -> None:
    async with scripted_cluster(pod(in_pieces)) as (k8s, script):
        assert await activate(k8s) is Activation.ACTIVATED
        assert k8s.requests == 1
    assert script.asked == [("GET", "/api/v1/namespaces/n/pods/poet-0-x/portforward?ports=5000")]


async def test_a_port_that_nobody_listens_on() -> None:
    async with scripted_cluster(pod(refused)) as (k8s, _):
        with pytest.raises(Transient, match="connection refused"):
            await activate(k8s)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refuses(403, "Forbidden", "no"), NotForwarded),
        (refuses(404, "NotFound", "no such pod"), NotForwarded),
        (refuses(500, "InternalError", "error dialing backend"), Transient),
    ],
)
async def test_refusals(answer: Answer, kind: type[Exception]) -> None:
    async with scripted_cluster(answer) as (k8s, _):
        with pytest.raises(kind, match="cannot forward port 5000 of pod poet-0-x"):
            await activate(k8s)


async def test_the_address_is_gone_afterwards() -> None:
    async with scripted_cluster(pod(in_pieces)) as (k8s, _):
        async with forwarded(k8s, "n", "p", 5000) as address:
            pass
        async with poet_client() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://{address}/")


class Machines:
    """Which of a cluster's machines answer, and what was tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: bool) -> None:
        self.answers = list(answers)
        self.tried: list[str] = []
        monkeypatch.setattr(reach, "accepts", self.accepts)

    async def accepts(self, host: str, port: int, seconds: float) -> bool:
        self.tried.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_the_direct_way_comes_first_and_is_given_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, False, True)
    async with scripted_cluster(refuses(500, "InternalError", "never asked")) as (k8s, script):
        ways = Reach(k8s, FakeClock())
        async with ways.port("10.0.0.1:30001", "n", "p", 5000) as address:
            assert address == "10.0.0.1:30001"
    assert machines.tried == ["10.0.0.1"] * 2
    assert ways.warnings == ()
    assert script.asked == []


async def test_a_machine_that_does_not_answer_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, False)
    clock = FakeClock()
    async with scripted_cluster(pod(in_pieces)) as (k8s, _):
        ways = Reach(k8s, clock)
        for name in ("a", "b"):
            async with ways.port("10.0.0.1:30001", "n", name, 5000) as address:
                assert address.startswith("127.0.0.1:")
    assert clock.now <= 5
    tried = len(machines.tried)
    assert set(machines.tried) == {"10.0.0.1"}
    async with ways.port("10.0.0.2:30001", "n", "c", 5000):
        assert len(machines.tried) > tried, "another machine is another matter"
    assert len(ways.warnings) == 1
    assert "10.0.0.1, 10.0.0.2" in ways.warnings[0]


async def test_no_way_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    Machines(monkeypatch, False)
    async with scripted_cluster(refuses(403, "Forbidden", "no")) as (k8s, _), poet_client() as client:
        with pytest.raises(NoWay, match=r"10\.0\.0\.1:30001 cannot be reached from where this flow runs") as caught:
            async with Reach(k8s, FakeClock()).port("10.0.0.1:30001", "n", "p", 5000) as address:
                await PoetServer("10.0.0.1:30001", client, address).activate(["10.0.0.1:6000"])
    assert isinstance(caught.value, Permanent)
    assert "pods/portforward" in caught.value.advice
