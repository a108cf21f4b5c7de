"""A port of a pod, reached through the API server: what `kubectl port-forward` does.

It needs no way to the cluster's machines: the API server and the pod's kubelet pass the bytes on, whatever they are. (The server's `proxy`
subresource carries HTTP/1 only, so no gRPC, and goes from the server to the pod directly, which firewalls of private clusters forbid.)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from networks.errors import Permanent, Transient
from tasks.kubernetes.connection import Connection

_PIECE = 65536
_DATA, _ERRORS = 0, 1  # a message's first byte says which channel it belongs to
_PORT_BYTES = 2  # each channel begins with the port's number


@asynccontextmanager
async def forwarded(k8s: Connection, namespace: str, pod: str, port: int) -> AsyncIterator[str]:
    """An address (`127.0.0.1:40123`) at which the pod's port is found, for as long as the block runs.

    When the block fails with Transient because the way was not there, the reason is raised instead: Permanent when it will never be.
    """
    way = _Way(k8s, namespace, pod, port)
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    except Transient:
        if way.trouble:
            raise way.trouble from None
        raise
    finally:
        server.close()
        await way.close()


@dataclass
class _Way:
    """Every connection to the local address becomes a WebSocket of its own."""

    k8s: Connection
    namespace: str
    pod: str
    port: int
    trouble: Transient | Permanent | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def close(self) -> None:
        """Cut all connections."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task
        self.tasks.add(task)
        try:
            await self._pass_on(reader, writer)
        except (Transient, Permanent) as error:
            self.trouble = error
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self.k8s.port_forward(self.namespace, self.pod, self.port) as socket:
            directions = [asyncio.create_task(_up(reader, socket)), asyncio.create_task(self._down(socket, writer))]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)
            for direction in directions:
                if not direction.cancelled() and isinstance(error := direction.exception(), Transient):
                    raise error

    async def _down(self, socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
        to_skip = {_DATA: _PORT_BYTES, _ERRORS: _PORT_BYTES}
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            skipped = min(to_skip.get(channel, 0), len(data))
            to_skip[channel] = to_skip.get(channel, 0) - skipped
            data = data[skipped:]
            if data and channel == _ERRORS:
                raise Transient(f"cannot reach port {self.port} of pod {self.pod}", why=data.decode(errors="replace").strip()[:300])
            if data and channel == _DATA:
                writer.write(data)
                with suppress(ConnectionError):
                    await writer.drain()


async def _up(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_PIECE):
            await socket.send_bytes(bytes([_DATA]) + data)
