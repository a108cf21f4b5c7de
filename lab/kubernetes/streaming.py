"""Several streams over one WebSocket, as remote commands have them: the first byte (or character) of a frame is the channel's number."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from lab.kubernetes.errors import ApiError
from lab.programs.program import Session, Streams

Obj = dict[str, Any]
Opener = Callable[[], Awaitable[Session]]

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = (
    "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io",
)  # fmt: skip
_SUCCESS: Obj = {"metadata": {}, "status": "Success"}


class Channels:
    """A WebSocket with channels, in the form that both sides agreed on."""

    def __init__(self, protocols: tuple[str, ...]) -> None:
        self.socket = web.WebSocketResponse(protocols=protocols, max_msg_size=0, timeout=1.0)

    async def prepare(self, request: web.Request) -> None:
        """Agree."""
        await self.socket.prepare(request)

    @property
    def protocol(self) -> str:
        """What was agreed on; nothing means the first version."""
        return self.socket.ws_protocol or ""

    async def send(self, channel: int, data: bytes) -> None:
        """One frame; nobody may be there any more."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            if "base64" in self.protocol:
                await self.socket.send_str(f"{channel}{base64.b64encode(data).decode()}")
            else:
                await self.socket.send_bytes(bytes([channel]) + data)

    async def receive(self) -> tuple[int, bytes] | None:
        """The next frame; None when the client has gone."""
        while True:
            message = await self.socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return None
            data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
            if not data:
                continue
            if "base64" in self.protocol:
                return data[0] - ord("0"), base64.b64decode(data[1:])
            return data[0], data[1:]

    async def close(self) -> None:
        """All has been said."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self.socket.close(code=WSCloseCode.OK)


async def remote_command(request: web.Request, streams: Streams, open_session: Opener) -> web.StreamResponse:
    """Upgrade the request and carry a command's input and output, then its end."""
    channels = Channels(PROTOCOLS)
    await channels.prepare(request)
    await channels.send(STDOUT if streams.stdout else STDERR if streams.stderr else ERROR, b"")
    try:
        session = await open_session()
    except ApiError as error:
        await _tell(channels, {key: value for key, value in error.body.items() if key not in ("kind", "apiVersion")})
        return channels.socket
    listening = asyncio.create_task(_listen(channels, session, streams))
    telling = asyncio.create_task(_say(channels, session, streams))
    try:
        await asyncio.wait({listening, telling}, return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            code = telling.result()
            await _tell(channels, _SUCCESS if code == 0 else failure(code))
    finally:
        listening.cancel()
        telling.cancel()
        await asyncio.gather(listening, telling, return_exceptions=True)
        session.close()
        await channels.close()
    return channels.socket


async def _say(channels: Channels, session: Session, streams: Streams) -> int:
    while (piece := await session.read()) is not None:
        number, data = piece
        if streams.stdout if number == STDOUT else streams.stderr:
            await channels.send(number, data)
    return await session.wait()


async def _listen(channels: Channels, session: Session, streams: Streams) -> None:
    """Until the client has gone. (A command goes on then; it only has nobody who listens.)"""
    while (frame := await channels.receive()) is not None:
        channel, data = frame
        if channel == STDIN and streams.stdin:
            await session.write(data)
        elif channel == CLOSE and data[:1] == b"\x00" and channels.protocol.startswith("v5"):
            session.close_input()
        elif channel == RESIZE:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                size = json.loads(data)
                session.resize(int(size["Width"]) & 0xFFFF, int(size["Height"]) & 0xFFFF)


async def _tell(channels: Channels, status: Obj) -> None:
    if channels.protocol.startswith(("v4", "v5")):
        await channels.send(ERROR, orjson.dumps(status))
    elif status["status"] != "Success":
        await channels.send(ERROR, status["message"].encode())
    await channels.close()


def failure(code: int) -> Obj:
    """The Status of a command that ended with another code than 0."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
