"""Admission webhooks that programs of the lab serve."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from typing import Any

from aiohttp import web

from lab.programs.http_program import as_json
from lab.programs.listeners import Listeners
from lab.programs.program import Container

Obj = dict[str, Any]
Judge = Callable[[Obj], str | None]  # the request of a review -> why it is refused, None when it is not


async def serve_webhook(container: Container, listeners: Listeners, port: int, certificate: str, key: str, judge: Judge) -> None:
    """Answer reviews at every path. OSError when the certificate's files are not there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(container.path(certificate), container.path(key))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            review = json.loads(await request.text())
            asked = review["request"]
            response: Obj = {"uid": asked["uid"], "allowed": True}
        except (ValueError, KeyError, TypeError):
            return web.Response(status=400, text="no admission review\n")
        refusal = judge(asked)
        if refusal is not None:
            response |= {"allowed": False, "status": {"message": refusal, "code": 400}}
        return as_json({"apiVersion": review.get("apiVersion"), "kind": "AdmissionReview", "response": response})

    await listeners.serve_http(port, answer, context)
