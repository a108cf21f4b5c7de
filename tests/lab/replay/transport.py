"""Sends one recorded request to the lab, byte for byte as far as it is recorded, and collects streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from tests.lab.replay.bindings import Bindings
from tests.lab.replay.conversations import converse
from tests.lab.replay.transcript import Record

Json = Any
USER_AGENTS = {"python": "OpenAPI-Generator/37.0.2/python", "kubectl": "kubectl/v1.36.2 (linux/amd64) kubernetes/98b3519"}
HEADERS_ADDED_BY_CLIENT = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


@dataclass
class Answer:
    """What the lab answered."""

    status: int | None  # None: the connection was cut
    content_type: str | None
    headers: dict[str, Any]
    body: Json


@dataclass
class Stream:
    """A watch or a followed log that is open at the lab."""

    record: Record
    status: int = 0
    content_type: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    failure: str = ""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    learned: dict[str, int] = field(default_factory=dict)  # recorded uid -> how many of its events the bindings know
    outlines: list[Json] = field(default_factory=list)  # of the first so many events
    reached: set[tuple[str, int]] = field(default_factory=set)  # recorded uid and which of its events

    @property
    def ended(self) -> bool:
        """Whether the lab ended it, or we did."""
        return self.task is not None and self.task.done()


class Transport:
    """HTTP to one lab."""

    def __init__(self, url: str, token: str, speed: float) -> None:
        self.url = url
        self.tokens: dict[str | None, str | None] = {None: token, "no token": None}
        self.speed = speed
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=30), auto_decompress=True)

    async def close(self) -> None:
        """Closes all connections."""
        await self.session.close()

    def _arguments(self, record: Record, bindings: Bindings) -> dict[str, Any]:
        headers = {name: bindings.text(value) if name.startswith("If-") else value for name, value in record.headers.items()}
        headers = {name: bindings.words.get(value, value) if name.startswith("If-") else value for name, value in headers.items()}
        if record.client in USER_AGENTS:
            headers["User-Agent"] = USER_AGENTS[record.client]
        if token := self.tokens.get(record.account):
            headers["Authorization"] = f"Bearer {token}"
        if "Upgrade" in headers:
            headers |= {"Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        data = None
        if isinstance(record.body, str):
            data = record.body.encode()
        elif record.body is not None:
            data = json.dumps(bindings.body(record.body)).encode()
        url = URL(self.url + self._path(record, bindings), encoded=True)
        return {"method": record.method, "url": url, "headers": headers, "data": data, "skip_auto_headers": HEADERS_ADDED_BY_CLIENT}

    def _path(self, record: Record, bindings: Bindings) -> str:
        path = bindings.path(record.path)
        if record.is_watch and not any(event["type"] == "BOOKMARK" for event in record.events):
            # How long an idle watch stays open is real time; nobody learns anything from waiting for it.
            seconds = str(max(1, math.ceil(record.duration_ms / 1000 / self.speed)))
            asked = re.search(r"timeoutSeconds=(\d+)", path)
            early = asked is not None and record.duration_ms < int(asked[1]) * 900  # not its time-out: its kind has gone
            limit = "600" if record.ended_by == "client" or early else seconds
            path = re.sub(r"timeoutSeconds=(\d+)", f"timeoutSeconds={limit}", path)
        return path

    async def send(self, record: Record, bindings: Bindings) -> Answer:
        """One request, one whole answer."""
        if record.status == 101:
            return await self._converse(record, bindings)
        try:
            return await self._ask(self._arguments(record, bindings), record)
        except aiohttp.ClientConnectionError as error:
            return Answer(None, None, {}, f"no answer: {error!r}")

    async def _ask(self, arguments: dict[str, Any], record: Record) -> Answer:
        async with self.session.request(**arguments) as response:
            body: Json = await response.text(errors="replace")
            kind = response.headers.get("Content-Type")
            if isinstance(record.answer, (dict, list)) or (kind or "").startswith("application/json"):
                with contextlib.suppress(ValueError):
                    body = json.loads(body)
            headers: dict[str, Any] = {}
            for name in response.headers:
                values = response.headers.getall(name)
                headers[name.lower()] = values[0] if len(values) == 1 else values
            return Answer(response.status, kind, headers, body)

    async def _converse(self, record: Record, bindings: Bindings) -> Answer:
        try:
            return Answer(101, record.content_type, {}, await converse(self.session, record, self._arguments(record, bindings), bindings))
        except aiohttp.WSServerHandshakeError as error:
            return Answer(error.status, None, {}, error.message)

    async def get(self, path: str) -> Json:
        """A plain question of the replay's own."""
        async with self.session.get(URL(self.url + path, encoded=True), headers={"Authorization": f"Bearer {self.tokens[None]}"}) as response:
            return await response.json(content_type=None) if response.status == 200 else None

    async def post(self, path: str, body: Json) -> int:
        """A plain object of the replay's own."""
        async with self.session.post(self.url + path, json=body, headers={"Authorization": f"Bearer {self.tokens[None]}"}) as response:
            return response.status

    async def token(self, path: str) -> str:
        """A token for a service account."""
        headers = {"Authorization": f"Bearer {self.tokens[None]}"}
        async with self.session.post(self.url + path, json={}, headers=headers) as response:
            return str((await response.json(content_type=None))["status"]["token"])

    async def open(self, record: Record, bindings: Bindings) -> Stream:
        """Opens a watch or followed log; returns when its answer has begun."""
        stream = Stream(record)
        stream.task = asyncio.create_task(self._follow(stream, self._arguments(record, bindings)))
        await stream.opened.wait()
        return stream

    async def _follow(self, stream: Stream, arguments: dict[str, Any]) -> None:
        try:
            async with self.session.request(**arguments, timeout=aiohttp.ClientTimeout(total=None, sock_read=60)) as response:
                stream.status, stream.content_type = response.status, response.headers.get("Content-Type")
                stream.opened.set()
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self._take(stream, line)
                if rest:
                    self._take(stream, rest, ended=True)
        except (aiohttp.ClientError, TimeoutError) as error:
            stream.failure = repr(error)
        finally:
            stream.opened.set()
            stream.changed.set()

    @staticmethod
    def _take(stream: Stream, line: bytes, ended: bool = False) -> None:
        text = line.decode(errors="replace")
        if stream.record.is_watch and stream.status == 200:
            try:
                stream.events.append(json.loads(text))
            except ValueError:
                stream.failure = f"no JSON in a watch: {text[:200]}"
        stream.text += text if ended else text + "\n"
        stream.changed.set()
