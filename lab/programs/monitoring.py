"""Prometheus, Alertmanager, Grafana and Pyroscope as far as a deployment asks them: are you well, and who are you."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from lab.programs.http_program import Answer, HttpProgram, Route, as_json, basic
from lab.programs.program import Container

_NUMBER = re.compile(r"\s*(?:vector\()?\s*(-?\d+(?:\.\d+)?)\s*\)?\s*")
_SELECTOR = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{[^{}]*\})?\s*")


def image_version(image: str) -> str:
    """The version that an image's tag tells."""
    tag = image.rpartition(":")[2]
    return tag.removeprefix("v") if tag != image and "/" not in tag else "latest"


class Prometheus(HttpProgram):
    """Health, readiness, what it is, and queries over the one series that it knows: `up`, of itself."""

    port = 9090

    def __init__(self) -> None:
        super().__init__()
        self._version, self._instance = "", ""
        self._now: Callable[[], float] = time.time

    def routes(self) -> list[Route]:
        """Management and a little of the API."""
        return [
            ("GET|HEAD", "/-/healthy", self._text("Prometheus Server is Healthy.\n")),
            ("GET|HEAD", "/-/ready", self._text("Prometheus Server is Ready.\n")),
            ("GET", "/", self._home),
            ("GET|POST", "/api/v1/query", self._query),
            ("GET", "/api/v1/status/buildinfo", self._build),
            ("GET", "/metrics", self._text("# TYPE prometheus_ready gauge\nprometheus_ready 1\n")),
        ]

    async def started(self, container: Container) -> bool:
        """Learn its name."""
        self._version, self._instance = image_version(container.image), f"{container.ip}:{self.port}"
        container.log(f'ts=lab level=info msg="Server is ready to receive web requests." version={self._version}')
        return True

    @staticmethod
    def _text(text: str) -> Any:
        async def answer(_request: web.BaseRequest) -> Answer:
            return web.Response(text=text)

        return answer

    async def _home(self, _request: web.BaseRequest) -> Answer:
        return web.Response(status=302, headers={"Location": "/graph"})

    async def _build(self, _request: web.BaseRequest) -> Answer:
        return as_json({"status": "success", "data": {"version": self._version, "revision": "lab", "branch": "HEAD", "goVersion": "go1.24"}})

    async def _query(self, request: web.BaseRequest) -> Answer:
        form = dict((await request.post()).items()) if request.method == "POST" else {}
        query = str(form.get("query") or request.query.get("query", ""))
        if number := _NUMBER.fullmatch(query):
            return _success("scalar" if "vector" not in query else "vector", self._sample({}, number[1]))
        match = _SELECTOR.fullmatch(query)
        if match is None:
            what = "unknown position: parse error: no expression found in input" if not query.strip() else f"1:1: parse error: unexpected {query!r}"
            problem = f'invalid parameter "query": {what}'
            return as_json({"status": "error", "errorType": "bad_data", "error": problem}, 400)
        sample = self._sample({"__name__": "up", "instance": self._instance, "job": "prometheus"}, "1")
        return _success("vector", sample if match[1] == "up" else None)

    def _sample(self, metric: dict[str, str], value: str) -> dict[str, Any]:
        return {"metric": metric, "value": [round(self._now(), 3), value]}


def _success(kind: str, sample: dict[str, Any] | None) -> web.Response:
    result: Any = ([sample] if sample else []) if kind == "vector" else sample and sample["value"]
    return as_json({"status": "success", "data": {"resultType": kind, "result": result}})


class Alertmanager(Prometheus):
    """The same questions on another port."""

    port = 9093

    def routes(self) -> list[Route]:
        """Management and status."""
        return [
            ("GET|HEAD", "/-/healthy", self._text("OK")),
            ("GET|HEAD", "/-/ready", self._text("OK")),
            ("GET", "/api/v2/alerts", self._none),
        ]

    async def _none(self, _request: web.BaseRequest) -> Answer:
        return as_json([])


class Grafana(HttpProgram):
    """Health for everybody; the rest for the administrator of GF_SECURITY_ADMIN_USER and GF_SECURITY_ADMIN_PASSWORD."""

    port = 3000

    def __init__(self) -> None:
        super().__init__()
        self._version, self._admin = "", ("admin", "admin")

    def routes(self) -> list[Route]:
        """Health, the page to log in, and who is asking."""
        return [
            ("GET|HEAD", "/api/health", self._health),
            ("GET|HEAD", "/healthz", self._ok),
            ("GET|HEAD", "/login", self._login),
            ("GET", "/", self._home),
            ("GET", "/api/org", self._org),
            ("GET", "/api/datasources", self._sources),
        ]

    async def started(self, container: Container) -> bool:
        """Learn who may enter."""
        self._version = image_version(container.image)
        self._admin = (container.env.get("GF_SECURITY_ADMIN_USER", "admin"), container.env.get("GF_SECURITY_ADMIN_PASSWORD", "admin"))
        container.log(f'logger=http.server level=info msg="HTTP Server Listen" address=[::]:3000 protocol=http version={self._version}')
        return True

    async def _health(self, _request: web.BaseRequest) -> Answer:
        return as_json({"commit": "lab", "database": "ok", "version": self._version})

    async def _ok(self, _request: web.BaseRequest) -> Answer:
        return web.Response(text="Ok")

    async def _login(self, _request: web.BaseRequest) -> Answer:
        return web.Response(text="<!DOCTYPE html><html><head><title>Grafana</title></head><body></body></html>", content_type="text/html")

    async def _home(self, _request: web.BaseRequest) -> Answer:
        return web.Response(status=302, headers={"Location": "/login"})

    async def _org(self, request: web.BaseRequest) -> Answer:
        return self._refused(request) or as_json({"id": 1, "name": "Main Org."})

    async def _sources(self, request: web.BaseRequest) -> Answer:
        return self._refused(request) or as_json([])

    def _refused(self, request: web.BaseRequest) -> web.Response | None:
        given = basic(request)
        if given == self._admin:
            return None
        if given is None:
            return as_json({"extra": None, "message": "Unauthorized", "messageId": "auth.unauthorized", "statusCode": 401, "traceID": ""}, 401)
        return as_json({"message": "Invalid username or password", "messageId": "password-auth.failed", "statusCode": 401, "traceID": ""}, 401)


class Pyroscope(HttpProgram):
    """Takes profiles and says which applications sent some; what is in them it does not look at."""

    port = 4040

    def __init__(self) -> None:
        super().__init__()
        self._apps: dict[str, int] = {}

    def routes(self) -> list[Route]:
        """Old and new health paths, what pushes, and what was pushed."""
        return [
            ("GET|HEAD", "/healthz", self._ready),
            ("GET|HEAD", "/ready", self._ready),
            ("POST", "/ingest", self._ingest),
            ("GET", "/api/apps", self._known),
        ]

    async def _ready(self, request: web.BaseRequest) -> Answer:
        return web.Response(text="server is ready" if request.path == "/healthz" else "ready\n")

    async def _ingest(self, request: web.BaseRequest) -> Answer:
        name = request.query.get("name", "").partition("{")[0]
        if not name:
            return web.Response(status=400, text="'name' is required\n")
        self._apps[name] = self._apps.get(name, 0) + 1
        return web.Response()

    async def _known(self, _request: web.BaseRequest) -> Answer:
        return as_json([{"name": name} for name in sorted(self._apps)])
