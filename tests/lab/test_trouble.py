"""Each effect, as a bare HTTP client sees it, in front of any service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from lab.faults import Fault, Faults
from lab.trouble import with_faults

BODY = "all is well, and there is plenty of it"


class Service:
    def __init__(self) -> None:
        self.faults = Faults()
        self.done: list[str] = []
        self.left = asyncio.Event()

    def app(self) -> web.Application:
        trouble = with_faults(self.faults, "slack", lambda code, _options: web.Response(status=code, text=f"sorry: {code}"))
        app = web.Application(middlewares=[trouble])
        app.router.add_route("*", "/stream", self._stream)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.done.append(request.path)
        return web.Response(text=BODY)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return response


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(service.app())) as client:
        yield client


def ask_for(service: Service, effect: str, target: str = "^GET /x", **options: Any) -> None:
    service.faults.add(Fault("slack", target, effect, options, times=1))


async def test_status(service: Service, client: TestClient[Any, Any]) -> None:
    ask_for(service, "status", code=503, retry_after=2, headers={"X-Reason": "test"})
    answer = await client.get("/x")
    assert (answer.status, answer.headers["Retry-After"], answer.headers["X-Reason"], await answer.text()) == (503, "2", "test", "sorry: 503")
    ask_for(service, "status", code=418, body={"error": "teapot"})
    assert await (await client.get("/x")).json() == {"error": "teapot"}
    ask_for(service, "status", body="plain")
    assert await (await client.get("/x")).text() == "plain"
    assert service.done == []  # instead of what was asked for
    assert await (await client.get("/x")).text() == BODY


@pytest.mark.parametrize(("effect", "done"), [("reset", []), ("reset-after", ["/x"])])
async def test_reset(service: Service, client: TestClient[Any, Any], effect: str, done: list[str]) -> None:
    ask_for(service, effect)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.get("/x")
    assert service.done == done


async def test_cut_off(service: Service, client: TestClient[Any, Any]) -> None:
    ask_for(service, "cut-off")
    answer = await client.get("/x")
    assert answer.headers["Content-Length"] == str(len(BODY))
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.read()
    assert service.done == ["/x"]


async def test_a_stream_is_cut_off_after_a_while(service: Service, client: TestClient[Any, Any]) -> None:
    ask_for(service, "cut-off", "/stream", seconds=0.05)
    answer = await client.get("/stream")
    assert await answer.content.readline() == b"first\n"
    with pytest.raises(aiohttp.ClientError):
        await answer.read()
    await asyncio.wait_for(service.left.wait(), 10)  # who wrote to it has stopped


async def test_wrong_type(service: Service, client: TestClient[Any, Any]) -> None:
    ask_for(service, "wrong-type")
    answer = await client.get("/x")
    assert (answer.content_type, await answer.text()) == ("text/html", BODY)
    ask_for(service, "wrong-type", type="image/png", body="<h1>")
    answer = await client.get("/x")
    assert (answer.content_type, await answer.text()) == ("image/png", "<h1>")


async def test_delay_and_hang(service: Service, client: TestClient[Any, Any]) -> None:
    ask_for(service, "delay", seconds=0.01)
    assert (await client.get("/x")).status == 200
    ask_for(service, "hang")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.get("/x"), 0.05)
    ask_for(service, "hang", seconds=0.01)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.get("/x")
    assert service.done == ["/x"]


async def test_only_what_matches_is_hit(service: Service, client: TestClient[Any, Any]) -> None:
    ask_for(service, "status", r"^POST /x\?a=1$", code=500)
    service.faults.add(Fault("github", "", "status"))
    asked = (("GET", "/x?a=1"), ("POST", "/x"), ("POST", "/x?a=1"))
    assert [(await client.request(method, path)).status for method, path in asked] == [200, 200, 500]
