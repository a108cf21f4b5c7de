"""What the lab's HTTP programs have in common: routes on a port, probes by `curl`, an orderly end."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from lab.programs import curl
from lab.programs.listeners import Listeners
from lab.programs.program import Container

Obj = dict[str, Any]
Answer = web.StreamResponse
Route = tuple[str, str, Callable[..., Awaitable[Answer]]]  # method, path as a regular expression (its groups are arguments), what answers


class Routes:
    """Answers by method and path. A web application per container would cost more than what it serves."""

    def __init__(self, routes: list[Route]) -> None:
        self._routes = [(method, re.compile(f"{path}/?"), handler) for method, path, handler in routes]

    async def __call__(self, request: web.BaseRequest) -> Answer | None:
        """The first route that fits; None when none does."""
        for method, path, handler in self._routes:
            match = path.fullmatch(request.path)
            if match and request.method in method.split("|"):
                return await handler(request, *match.groups())
        return None


class HttpProgram:
    """Serves its routes on `port` until it is told to stop."""

    port = 80

    def __init__(self) -> None:
        self._routes = Routes(self.routes())

    def routes(self) -> list[Route]:
        """What it answers."""
        return []

    async def started(self, container: Container) -> bool:
        """Read what it is told, join others; False when it cannot start, after saying why."""
        del container
        return True

    async def listen(self, container: Container, listeners: Listeners) -> None:
        """Open its ports."""
        del container
        await listeners.serve_http(self.port, self.serve)

    async def work(self, container: Container) -> None:
        """What it does while it serves."""
        await container.stopping.wait()

    async def ended(self, container: Container) -> None:
        """Leave things in order."""

    async def serve(self, request: web.BaseRequest) -> Answer:
        """One request."""
        return await self._routes(request) or await self.unknown(request)

    async def unknown(self, request: web.BaseRequest) -> Answer:
        """No route fits."""
        del request
        return web.Response(status=404, text="404 page not found\n")

    async def run(self, container: Container) -> int:
        """Serve until told to stop."""
        if not await self.started(container):
            return 1
        listeners = Listeners(container)
        try:
            await self.listen(container, listeners)
            await self.work(container)
        except OSError as error:
            container.log(f"cannot listen: {error}")
            return 1
        finally:
            await listeners.close()
            await self.ended(container)
        return 0

    async def execute(self, container: Container, argv: list[str], seconds: float) -> tuple[int, bytes]:
        """A probe's command."""
        return await curl.execute(container, argv, seconds)


def basic(request: web.BaseRequest) -> tuple[str, str] | None:
    """User and password of a request; None without them."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def as_json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, text=json.dumps(body), content_type="application/json", headers=headers)
