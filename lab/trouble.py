"""What a fault does to an HTTP service. Every service of the lab has this in front of it.

- `status`: another answer, nothing is done: `code` (500), `retry_after`, `headers`, `body` (text or JSON; by default what the service itself says).
- `delay`: the answer comes `seconds` (1) later.
- `hang`: no answer for `seconds` (an hour), then the connection is cut.
- `reset`: the connection is cut, nothing is done.
- `reset-after`: all is done, but the connection is cut before the answer.
- `cut-off`: all is done, and the connection is cut half way through the answer's body; with `seconds`: so long after the request, for watches.
- `wrong-type`: the answer with another `type` (text/html), and with another `body` if one is given.

Seconds are real ones: what waits is a client with a time-out of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from multidict import CIMultiDict

from lab.faults import Fault, Faults

Answer = Callable[[], Awaitable[web.StreamResponse]]
Refuse = Callable[[int, dict[str, Any]], web.StreamResponse]  # a service's own way to say a status, for a fault's options

_FOREVER = 3600.0


def with_faults(faults: Faults, place: str, refuse: Refuse) -> Middleware:
    """A middleware that lets faults of this place happen."""

    @web.middleware
    async def middleware(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        return await answer_or_fail(faults, place, request, lambda: handler(request), refuse)

    return middleware


async def answer_or_fail(faults: Faults, place: str, request: web.Request, answer: Answer, refuse: Refuse) -> web.StreamResponse:
    """The answer, unless a fault wants something else."""
    fault = faults.take(place, f"{request.method} {request.raw_path}") if faults.all() else None
    return await answer() if fault is None else await _suffer(request, fault, answer, refuse)


async def _suffer(request: web.Request, fault: Fault, answer: Answer, refuse: Refuse) -> web.StreamResponse:
    options, seconds = fault.options, fault.options.get("seconds")
    if fault.effect == "status":
        await request.read()  # the client may not listen before it has sent all
        return status_answer(options, refuse)
    if fault.effect == "delay":
        await asyncio.sleep(float(seconds or 1))
        return await answer()
    if fault.effect == "wrong-type":
        return _as_other_type(await answer(), options)
    if fault.effect == "cut-off":
        return await _cut_off(request, answer, seconds)
    if fault.effect == "hang":
        await asyncio.sleep(float(seconds or _FOREVER))
    if fault.effect == "reset-after":
        await answer()
    return _reset(request)


def status_answer(options: dict[str, Any], refuse: Refuse) -> web.StreamResponse:
    """The status that a fault asks for."""
    code, body = int(options.get("code", 500)), options.get("body")
    if body is None:
        answer = refuse(code, options)
    elif isinstance(body, str):
        answer = web.Response(status=code, text=body)
    else:
        answer = web.json_response(body, status=code)
    if "retry_after" in options:
        answer.headers["Retry-After"] = str(options["retry_after"])
    answer.headers.update({name: str(value) for name, value in (options.get("headers") or {}).items()})
    return answer


def _as_other_type(answer: web.StreamResponse, options: dict[str, Any]) -> web.StreamResponse:
    if answer.prepared:  # a stream: it has gone out already
        return answer
    if "body" in options:
        body = options["body"]
        answer = web.Response(status=answer.status, body=(body if isinstance(body, str) else json.dumps(body)).encode())
    answer.headers["Content-Type"] = str(options.get("type", "text/html; charset=utf-8"))
    return answer


async def _cut_off(request: web.Request, answer: Answer, seconds: float | None) -> web.StreamResponse:
    if seconds is not None:
        working = asyncio.ensure_future(answer())
        await asyncio.wait({working}, timeout=seconds)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return _reset(request)
    whole = await answer()
    body = whole.body if isinstance(whole, web.Response) else None
    if not isinstance(body, bytes | bytearray) or not body:
        return _reset(request)
    headers = CIMultiDict(whole.headers)
    headers["Content-Length"] = str(len(body))
    half = web.StreamResponse(status=whole.status, headers=headers)
    await half.prepare(request)
    await half.write(bytes(body[: len(body) // 2]))
    if request.transport is not None:
        request.transport.close()
    return half


def _reset(request: web.Request) -> web.Response:
    """Cut the connection; what is given back goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
