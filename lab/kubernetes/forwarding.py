"""port-forward: connections of a client into a pod, over channels of a WebSocket or over SPDY streams tunnelled through one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from lab.kubernetes.spdy import (
    GOAWAY,
    PING,
    RST_STREAM,
    SYN_STREAM,
    Codec,
    Frame,
    SpdyError,
    control,
    data_frame,
)
from lab.kubernetes.streaming import Channels

CHANNELS = "v4.channel.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
_PIECE = 65536

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[int], Awaitable[Connection]]  # OSError whose text says why the port cannot be reached


async def forward_channels(request: web.Request, ports: list[int], dial: Dial) -> web.StreamResponse:
    """Two channels for each port: data, and what went wrong. Both begin with the port, two bytes, the lower first."""
    channels = Channels((CHANNELS,))
    await channels.prepare(request)
    writers: dict[int, asyncio.StreamWriter] = {}
    ready = asyncio.Event()

    async def serve(number: int, port: int) -> None:
        for channel in (2 * number, 2 * number + 1):
            await channels.send(channel, port.to_bytes(2, "little"))
        try:
            reader, writers[2 * number] = await dial(port)
        except OSError as error:
            await channels.send(2 * number + 1, str(error).encode())
            return
        finally:
            ready.set()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                await channels.send(2 * number, data)

    async def listen() -> None:
        await ready.wait()
        while (frame := await channels.receive()) is not None:
            if (writer := writers.get(frame[0])) is not None:
                await _write(writer, frame[1])

    listening = asyncio.create_task(listen())
    serving = asyncio.gather(*(serve(number, port) for number, port in enumerate(ports)))
    try:
        both: set[asyncio.Future[Any]] = {listening, serving}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listening.cancel()
        serving.cancel()
        for writer in writers.values():
            writer.close()
        await channels.close()
    return channels.socket


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()


@dataclass
class _Way:
    """One forwarded connection: a data stream, and the error stream of the same request."""

    errors: int
    port: int
    incoming: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(maxsize=64))
    task: asyncio.Task[None] | None = None


async def forward_tunnel(request: web.Request, dial: Dial) -> web.StreamResponse:
    """SPDY frames in a WebSocket's binary messages: a message may hold any part of a frame."""
    socket = web.WebSocketResponse(protocols=(TUNNEL,), max_msg_size=0, timeout=1.0)
    await socket.prepare(request)
    tunnel = _Tunnel(socket, dial)
    try:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await tunnel.take(message.data)
    except SpdyError:
        pass  # nothing sensible comes any more
    finally:
        tunnel.close()
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.close()
    return socket


class _Tunnel:
    """The server's side of one SPDY connection."""

    def __init__(self, socket: web.WebSocketResponse, dial: Dial) -> None:
        self._socket, self._dial = socket, dial
        self._codec = Codec()
        self._error_streams: dict[str, int] = {}  # by request
        self._ways: dict[int, _Way] = {}  # by data stream

    async def take(self, data: bytes) -> None:
        """Bytes that came."""
        for frame in self._codec.feed(data):
            await self._frame(frame)

    def close(self) -> None:
        """Cut all connections."""
        for way in self._ways.values():
            if way.task:
                way.task.cancel()

    async def _frame(self, frame: Frame) -> None:
        if frame.kind == SYN_STREAM:
            await self._open(frame)
        elif frame.kind == 0 and (way := self._ways.get(frame.stream)):
            if frame.data:
                await way.incoming.put(frame.data)
            if frame.last:
                await way.incoming.put(None)
        elif frame.kind == RST_STREAM and (way := self._ways.pop(frame.stream, None)) and way.task:
            way.task.cancel()
        elif frame.kind == PING:
            await self._send(control(PING, frame.data))
        elif frame.kind == GOAWAY:
            await self._socket.close()

    async def _open(self, frame: Frame) -> None:
        kind, request, port = (frame.headers.get(name, "") for name in ("streamtype", "requestid", "port"))
        if kind not in ("data", "error") or not port.isdecimal():
            await self._send(control(RST_STREAM, frame.stream.to_bytes(4, "big") + (3).to_bytes(4, "big")))  # refused
            return
        await self._send(self._codec.reply(frame.stream))
        if kind == "error":
            self._error_streams[request] = frame.stream
            return
        way = self._ways[frame.stream] = _Way(self._error_streams.pop(request, 0), int(port))
        way.task = asyncio.create_task(self._serve(frame.stream, way))

    async def _serve(self, stream: int, way: _Way) -> None:
        try:
            reader, writer = await self._dial(way.port)
        except OSError as error:
            await self._send(data_frame(way.errors, str(error).encode(), last=True))
            await self._send(data_frame(stream, b"", last=True))
            return
        typing = asyncio.create_task(self._type(way, writer))
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(_PIECE):
                    await self._send(data_frame(stream, data))
            await self._send(data_frame(stream, b"", last=True))
            await self._send(data_frame(way.errors, b"", last=True))
        finally:
            typing.cancel()
            writer.close()
            self._ways.pop(stream, None)

    @staticmethod
    async def _type(way: _Way, writer: asyncio.StreamWriter) -> None:
        while (data := await way.incoming.get()) is not None:
            await _write(writer, data)
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._socket.send_bytes(data)
