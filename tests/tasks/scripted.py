"""An HTTP server that answers as a test says, and remembers what it was asked; and a clock that costs no time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from blocks.cluster import Cluster
from tasks.kubernetes.connection import Connection

Answer = web.StreamResponse | Callable[[web.Request], Any]


class FakeClock:
    """Sleeping only moves the hands."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Script:
    """Answers in order; the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        self.bodies.append(await request.text())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            return await answer(request)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def says(body: Any, status: int = 200, **headers: str) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, text=json.dumps(body), headers={"Content-Type": "application/json", **headers})


def refuses(status: int, reason: str, message: str, **more: Any) -> web.Response:
    """A Kubernetes Status."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": status, **more}
    return says(body, status)


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport
    request.transport.close()
    return web.Response()


def streams(*events: Any, cut: bool = False) -> Callable[[web.Request], Any]:
    """A watch: these events, then its end (or half a line, then its end)."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for event in events:
            await response.write(json.dumps(event).encode() + b"\n")
        if cut:
            await response.write(b'{"type":"ADD')
        return response

    return answer


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Script]:
    """A server with these answers."""
    script = Script(*answers)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    script.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    try:
        yield script
    finally:
        await runner.cleanup()


def kubeconfig(url: str, token: str = "secret-token") -> str:
    """A kubeconfig that leads to a server."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
    )


@asynccontextmanager
async def scripted_cluster(*answers: Answer, clock: FakeClock | None = None) -> AsyncIterator[tuple[Connection, Script]]:
    """A connection to an API server that follows a script."""
    async with serving(*answers) as script:
        client = await Cluster(kubeconfig=kubeconfig(script.url)).client()
        connection = Connection(client, clock=clock or FakeClock())
        try:
            yield connection, script
        finally:
            await connection.close()
