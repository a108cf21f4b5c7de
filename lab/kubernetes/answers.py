"""Answers as bytes: objects, lists, refusals; JSON or YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import yaml
from aiohttp import web

from lab.kubernetes.errors import ApiError
from lab.kubernetes.negotiation import Form

Obj = dict[str, Any]

_HEADERS = {"Cache-Control": "no-cache, private"}


def dump_yaml(value: Any) -> bytes:
    """YAML as the server writes it: keys sorted, long text folded nowhere else than the library does it."""
    return yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True, default_flow_style=False).encode()


def answer(data: bytes, form: Form, status: int = 200, warnings: Iterable[str] = ()) -> web.Response:
    """JSON text in the form the client takes."""
    if form.encoding == "yaml":
        data = dump_yaml(orjson.loads(data))
    elif form.pretty:
        data = json.dumps(orjson.loads(data), indent=2, ensure_ascii=False).encode()
    response = web.Response(body=data, status=status, content_type=form.content_type, headers=_HEADERS)
    add_warnings(response, warnings)
    return response


def answer_value(value: Any, form: Form, status: int = 200, warnings: Iterable[str] = ()) -> web.Response:
    """A value, encoded."""
    return answer(orjson.dumps(value) + b"\n", form, status, warnings)


def add_warnings(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """A Warning header for each."""
    for text in warnings:
        quoted = json.dumps("".join(sign if sign.isprintable() else " " for sign in text), ensure_ascii=False)
        response.headers.add("Warning", f"299 - {quoted}")


def text_answer(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Plain text, as health checks and some errors come."""
    return web.Response(text=text, status=status, headers={**_HEADERS, "X-Content-Type-Options": "nosniff", **(headers or {})})


def refusal(error: ApiError, form: Form, warnings: Iterable[str] = ()) -> web.Response:
    """An error as a Status, or as the text it comes as."""
    if error.text is not None:
        return text_answer(error.text, error.code, error.headers)
    response = answer_value(error.body, form, error.code, warnings)
    response.headers.update(error.headers)
    if error.code == 403 and error.reason == "Forbidden" and not warnings:
        response.headers["X-Content-Type-Options"] = "nosniff"
    return response
