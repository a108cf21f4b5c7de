"""Recorded WebSockets played to the lab: what the client sent is sent again when as much has come as then had; what comes is compared by channel."""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
import time
from typing import Any

import aiohttp

from tests.lab.replay.bindings import Bindings
from tests.lab.replay.transcript import Record

Json = Any
Frame = dict[str, Any]
PATIENCE = 5.0  # seconds until a frame that does not come is given up
# What differs each time: dates, ids of commands and sandboxes, versions of a recorded web server.
FREE = (
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "<date>"),
    (re.compile(r"[0-9a-f]{64}"), "<id>"),
    (re.compile(r"cni-[0-9a-f-]{36}"), "cni-<id>"),
    (re.compile(r"Python/3\.11\.\d+"), "Python/3.11"),
    (re.compile(r"^(tick \d+\n)+"), "(ticks)"),  # as many as fit into the time
)


def payload(frame: Frame) -> bytes:
    """What a recorded frame carried behind its channel."""
    if "data_json" in frame:
        return json.dumps(frame["data_json"]).encode()
    if "data_hex" in frame:
        return bytes.fromhex(frame["data_hex"])
    if "data_start_base64" in frame:
        start = base64.b64decode(frame["data_start_base64"])
        return start + bytes(frame["bytes"] - len(start))
    return str(frame.get("data", "")).encode()


def recorded(record: Record) -> Json:
    """What the server had said, by channel, and how it closed; the order of channels among one another is chance."""
    said = [frame for frame in record.answer if frame["dir"] == "server>client"]
    closed = next((frame["code"] for frame in said if frame["opcode"] == "close"), None)
    return _outline([(frame["channel"], payload(frame)) for frame in said if "channel" in frame], closed)


def _outline(frames: list[tuple[int, bytes]], closed: int | None) -> Json:
    found: dict[str, Json] = {}
    for channel in sorted({channel for channel, _ in frames}):
        data = b"".join(one for number, one in frames if number == channel)
        found[f"channel {channel}"] = json.loads(_free(data.decode())) if channel == 3 and data[:1] == b"{" else _text(data)
    if frames:
        found["first frame"] = [frames[0][0], len(frames[0][1])]
    return {**found, "closed with": closed}


def _text(data: bytes) -> Json:
    if b"\0" in data:
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                return {"tar of": [(one.name, one.size) for one in archive]}
        except tarfile.TarError:
            pass
    return _free(data.decode("latin-1"))


def _free(text: str) -> str:
    for pattern, replacement in FREE:
        text = pattern.sub(replacement, text)
    return text


async def converse(session: aiohttp.ClientSession, record: Record, arguments: dict[str, Any], bindings: Bindings) -> Json:
    """Plays the client's part; gives what the lab said in the form of `recorded`."""
    headers = {name: value for name, value in arguments["headers"].items() if name not in ("Upgrade", "Connection") and "WebSocket" not in name}
    protocols = [one.strip() for one in record.headers["Sec-WebSocket-Protocol"].split(",")]
    frames: list[tuple[int, bytes]] = []
    async with session.ws_connect(arguments["url"], protocols=protocols, headers=headers, max_msg_size=0) as socket:
        agreed = record.answer_headers["sec-websocket-protocol"]
        assert socket.protocol == agreed, f"agreed on {socket.protocol}, not on {agreed}"
        due = 0
        for frame in record.answer:
            if frame["dir"] == "server>client":
                due += frame.get("bytes", 0) + ("channel" in frame)
            elif frame["opcode"] == "close":
                await _hear(socket, frames, due)
                await socket.close()
            else:
                await _hear(socket, frames, due)
                await socket.send_bytes(bytes([frame["channel"]]) + payload(frame))
        await _hear(socket, frames, None if any(frame["opcode"] == "close" for frame in record.answer) else due)
        return _outline(frames, socket.close_code if socket.closed else None)


async def _hear(socket: aiohttp.ClientWebSocketResponse, frames: list[tuple[int, bytes]], due: int | None) -> None:
    """Takes frames until so many bytes have come; None: until the end."""
    deadline = time.monotonic() + PATIENCE
    while not socket.closed and (due is None or sum(len(data) + 1 for _, data in frames) < due) and time.monotonic() < deadline:
        try:
            message = await socket.receive(timeout=max(0.01, deadline - time.monotonic()))
        except TimeoutError:
            return
        if message.type is aiohttp.WSMsgType.BINARY:
            frames.append((message.data[0], message.data[1:]))
