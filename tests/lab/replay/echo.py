"""A server that answers what was recorded, with other uids, versions and addresses: the judge must find nothing in it, and every change."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from typing import Any

from aiohttp import web

from tests.lab.replay.bindings import ADDRESS, UUID, Bindings
from tests.lab.replay.transcript import Record, load
from tests.lab.replay.transport import Transport

Json = Any
VERSIONS_ON = 5000


class EchoTransport(Transport):
    """Says which record it sends, so that the server need not guess."""

    def _arguments(self, record: Record, bindings: Bindings) -> dict[str, Any]:
        arguments = super()._arguments(record, bindings)
        arguments["headers"]["X-Record"] = str(record.n)
        return arguments


def other(value: Json, key: str = "") -> Json:
    """The same answer as another server would give it."""
    if isinstance(value, dict):
        return {name: other(member, name) for name, member in value.items()}
    if isinstance(value, list):
        return [other(member) for member in value]
    if not isinstance(value, str):
        return value
    if key == "resourceVersion" and value.isdigit():
        return str(int(value) + VERSIONS_ON)
    value = UUID.sub(lambda found: str(uuid.uuid5(uuid.NAMESPACE_DNS, found[0])), value)
    return ADDRESS.sub(lambda found: re.sub(r"^10\.\d+", "127.55", found[0]), value)


class Echo:
    """The server. `changes` maps a record's number to what to make of its answer."""

    def __init__(self, scenario: str, speed: float, changes: dict[int, Any] | None = None) -> None:
        self.records = {record.n: record for record in load(scenario)}
        self.speed = speed
        self.changes = changes or {}
        self.asked: list[tuple[int, str, Json]] = []
        self.app = web.Application()
        self.app.router.add_route("*", "/{path:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        number = request.headers.get("X-Record")
        if number is None:
            return web.json_response({"kind": "Something"})  # the preparation's own requests
        record = self.records[int(number)]
        self.asked.append((record.n, request.path_qs, await request.text()))
        answer = other(record.answer)
        if isinstance(answer, str) and record.content_type == "application/yaml":
            answer = re.sub(r'(resourceVersion: ")(\d+)', lambda found: f"{found[1]}{int(found[2]) + VERSIONS_ON}", answer)
        if record.managed_fields is not None and isinstance(answer, dict) and "metadata" in answer:
            answer["metadata"]["managedFields"] = record.managed_fields
        if record.n in self.changes:
            answer = self.changes[record.n](answer)
        headers = [(name, other(one)) for name, value in record.answer_headers.items() for one in (value if isinstance(value, list) else [value])]
        headers = [(name, value) for name, value in headers if name not in ("content-length", "connection", "upgrade")]
        if record.content_type:
            headers.append(("Content-Type", record.content_type))
        if record.streams:
            return await self._stream(request, record, answer, headers)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        body = None if record.status in (204, 304) else text.encode()
        return web.Response(status=record.status, headers=headers, body=body)

    async def _stream(self, request: web.Request, record: Record, answer: Json, headers: list[tuple[str, str]]) -> web.StreamResponse:
        response = web.StreamResponse(status=record.status, headers=headers)
        await response.prepare(request)
        if isinstance(answer, str):
            await response.write(answer.encode())
            await asyncio.sleep(600 if record.ended_by == "client" else 0)
            return response
        now = 0
        for event in answer:
            await asyncio.sleep((event["ms"] - now) / 1000 / self.speed)
            now = event["ms"]
            line = {"type": event["type"], "object": event["object"]}
            await response.write(json.dumps(line).encode() + b"\n")
        if record.ended_by == "client":
            await asyncio.sleep(600)
        return response


