"""What starts has to end: sites, tasks and whatever else one part of the lab has begun, ended in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web

log = logging.getLogger("lab")

HEAD_BYTES = 2**20  # of a request line or header: as much as a Go server takes
CLOSE_SECONDS = 0.5  # real time that open requests get at the end


class WorldError(Exception):
    """The lab cannot start, or cannot go on."""


class Lifetime:
    """Everything that has begun. `end()` may be called at any time, and ends all of it."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self._endings: list[Callable[[], Awaitable[Any] | None]] = []

    def at_end(self, ending: Callable[[], Awaitable[Any] | None]) -> None:
        """Do this at the end, before what was begun earlier is ended."""
        self._endings.append(ending)

    async def end(self) -> None:
        """End all; what fails is logged and keeps nothing else from ending."""
        while self._endings:
            ending = self._endings.pop()
            try:
                waiting = ending()
                if waiting is not None:
                    await waiting
            except Exception:
                log.exception("while stopping")

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something until the end."""
        task = asyncio.create_task(work, name=name)
        self.tasks.append(task)

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

        self.at_end(end)
        return task

    async def run_app(self, app: web.Application) -> web.AppRunner:
        """An application, ready to listen."""
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=CLOSE_SECONDS, handler_cancellation=True, max_line_size=HEAD_BYTES, max_field_size=HEAD_BYTES
        )
        await runner.setup()
        self.at_end(runner.cleanup)
        return runner

    async def listen(self, runner: web.AppRunner, name: str, port: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> str:
        """Serve on loopback; gives the address."""
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise WorldError(f"the {name} cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from error
        return f"{'https' if tls else 'http'}://{host}:{runner.addresses[-1][1]}"
