"""A small Kibana: whether it and its Elasticsearch are well, and saved objects, which it keeps in the index `.kibana` as the real one does.

The image's other command here is the one of its chart's hooks: a service token for Kibana, fetched from Elasticsearch and kept in a Secret.
"""

from __future__ import annotations

import base64
import contextlib
import json
import posixpath
from typing import Any

import yaml
from aiohttp import web

from lab.programs.elastic.client import ElasticClient, Unreachable
from lab.programs.elastic.indices import flat_settings
from lab.programs.http_program import Answer, HttpProgram, Route, as_json
from lab.programs.in_cluster import ApiRefused, InCluster
from lab.programs.listeners import Listeners
from lab.programs.monitoring import image_version
from lab.programs.program import Container, wait

Obj = dict[str, Any]

_INDEX = ".kibana"
_PERIOD = 2.5  # lab seconds between looks at Elasticsearch
_HOME = "/usr/share/kibana"


class Kibana(HttpProgram):
    """The image's program."""

    port = 5601

    def __init__(self) -> None:
        super().__init__()
        self._elastic: ElasticClient | None = None
        self._settings: Obj = {}
        self._version = ""
        self._state = "starting"  # then "available", or why not
        self._anonymous = True

    def routes(self) -> list[Route]:
        """Status, pages, saved objects."""
        return [
            ("GET|HEAD", "/api/status", self._status),
            ("GET|HEAD", "(?:/app/kibana|/app/home|/login|)", self._page),
            ("POST", "/api/saved_objects/_import", self._import),
            ("POST", "/api/saved_objects/_export", self._export),
            ("GET", "/api/saved_objects/_find", self._find),
            ("GET", "/api/saved_objects/([a-z-]+)/([^/]+)", self._get),
        ]

    async def run(self, container: Container) -> int:
        """The server, or one of the chart's hooks."""
        if container.argv and posixpath.basename(container.argv[0]) == "node":
            return await manage_token(container)
        return await super().run(container)

    async def started(self, container: Container) -> bool:
        """Read the configuration: kibana.yml, then the environment."""
        try:
            self._settings = read_settings(container)
            self._elastic = connect(container, self._settings)
        except (OSError, yaml.YAMLError, Unreachable, ValueError) as error:
            container.log(f"FATAL  Error: {error}")
            return False
        self._version = image_version(container.image)
        container.log('{"type":"log","tags":["info","http","server","Kibana"],"message":"http server running"}')
        return True

    async def listen(self, container: Container, listeners: Listeners) -> None:
        """Its one port."""
        await listeners.serve_http(int(self._settings.get("server.port", self.port)), self.serve)

    async def work(self, container: Container) -> None:
        """Look after Elasticsearch."""
        while not container.stopping.is_set():
            before = self._state
            await self._look()
            if self._state != before:
                container.log(json.dumps({"type": "log", "tags": ["status"], "message": f"Kibana is now {self._state}"}))
            await wait(container.stopping, max(0.1, container.clock.real(_PERIOD)))

    async def _look(self) -> None:
        assert self._elastic is not None
        try:
            status, body = await self._elastic.call("GET", "/_cluster/health")
            anybody, _ = await self._elastic.call("GET", "/_security/_authenticate", Authorization="Basic bm9ib2R5Om5vYm9keQ==")
        except Unreachable as error:
            self._state = f"critical: Unable to retrieve version information from Elasticsearch nodes. {error}"
            return
        self._anonymous = anybody != 401
        self._state = "available" if status == 200 else f"critical: {body['error']['type']}: {body['error']['reason']}"

    async def serve(self, request: web.BaseRequest) -> Answer:
        """One request, if whoever asks may, and Elasticsearch is there."""
        if self._state != "available" and request.path != "/api/status":
            return web.Response(status=503, text="Kibana server is not ready yet", headers={"Retry-After": "30"})
        if request.method == "POST" and "kbn-xsrf" not in request.headers and "kbn-version" not in request.headers:
            return _refusal(400, "Bad Request", "Request must contain a kbn-xsrf header.")
        if request.path.startswith("/api/") and not self._anonymous and not await self._may(request):
            return _refusal(401, "Unauthorized", "[security_exception]: missing or wrong authentication credentials")
        return await super().serve(request)

    async def unknown(self, request: web.BaseRequest) -> Answer:
        """No such route."""
        return _refusal(404, "Not Found", "Not Found")

    async def _may(self, request: web.BaseRequest) -> bool:
        """Kibana asks Elasticsearch who that is."""
        assert self._elastic is not None
        given = request.headers.get("Authorization", "")
        if not given:
            return False
        try:
            status, _ = await self._elastic.call("GET", "/_security/_authenticate", Authorization=given)
        except Unreachable:
            return False
        return status == 200

    async def _page(self, _request: web.BaseRequest) -> Answer:
        return web.Response(text="<!DOCTYPE html><html><head><title>Elastic</title></head><body></body></html>", content_type="text/html")

    async def _status(self, request: web.BaseRequest) -> Answer:
        good = self._state == "available"
        if self._version.startswith("7.") and "v8format" not in request.query:
            overall = {"state": "green" if good else "red", "title": "Green" if good else "Red", "nickname": "Looking good" if good else self._state}
        else:
            overall = {"level": "available" if good else "critical", "summary": "All services are available" if good else self._state}
        body = {"name": "kibana", "version": {"number": self._version}, "status": {"overall": overall}}
        return as_json(body, 200 if good else 503)

    # Saved objects

    async def _import(self, request: web.BaseRequest) -> Answer:
        if not request.content_type.startswith("multipart/"):
            return _refusal(415, "Unsupported Media Type", "Unsupported Media Type")
        form = await request.post()
        file = form.get("file")
        if not isinstance(file, web.FileField):
            return _refusal(400, "Bad Request", "[request body.file]: expected value of type [Stream] but got [undefined]")
        if not file.filename.endswith(".ndjson"):
            return _refusal(400, "Bad Request", f"Invalid file extension .{file.filename.rpartition('.')[2]}")
        try:
            objects = [json.loads(line) for line in file.file.read().decode().splitlines() if line.strip()]
            objects = [one for one in objects if "exportedCount" not in one]
            keys = [(one["type"], one["id"]) for one in objects]
        except (ValueError, TypeError, KeyError) as error:
            return _refusal(400, "Bad Request", f"Unexpected token or missing field in the file: {error}")
        overwrite, fresh = request.query.get("overwrite") == "true", request.query.get("createNewCopies") == "true"
        results, errors = [], []
        for one, (kind, name) in zip(objects, keys, strict=True):
            meta = {"title": (one.get("attributes") or {}).get("title", name), "icon": f"{kind}App"}
            if not await self._store(kind, name, one, overwrite or fresh):
                errors.append({"id": name, "type": kind, "title": meta["title"], "meta": meta, "error": {"type": "conflict"}})
            else:
                results.append({"type": kind, "id": name, "meta": meta, "managed": False} | ({"overwrite": True} if overwrite else {}))
        body: Obj = {"successCount": len(results), "success": not errors, "warnings": []}
        return as_json(body | ({"errors": errors} if errors else {}) | ({"successResults": results} if results else {}))

    async def _store(self, kind: str, name: str, one: Obj, overwrite: bool) -> bool:
        assert self._elastic is not None
        document = {"type": kind, kind: one.get("attributes") or {}, "references": one.get("references") or []}
        how = "_doc" if overwrite else "_create"
        status, _ = await self._elastic.call("PUT", f"/{_INDEX}/{how}/{kind}:{name}", document)
        return status < 300

    async def _stored(self, kinds: list[str]) -> list[Obj]:
        assert self._elastic is not None
        query = {"query": {"terms": {"type": kinds}} if kinds else {"match_all": {}}, "size": 10_000}
        status, found = await self._elastic.call("POST", f"/{_INDEX}/_search", query)
        return [_shown(hit) for hit in found["hits"]["hits"]] if status == 200 else []

    async def _export(self, request: web.BaseRequest) -> Answer:
        body = json.loads(await request.text() or "{}")
        kinds = body.get("type") or [one["type"] for one in body.get("objects") or []]
        found = await self._stored([kinds] if isinstance(kinds, str) else kinds)
        lines = [*found, {"exportedCount": len(found), "missingRefCount": 0, "missingReferences": []}]
        return web.Response(text="\n".join(json.dumps(line) for line in lines), content_type="application/ndjson")

    async def _find(self, request: web.BaseRequest) -> Answer:
        if "type" not in request.query:
            return _refusal(400, "Bad Request", "[request query.type]: expected at least one defined value but got [undefined]")
        found = await self._stored(request.query.getall("type"))
        return as_json({"page": 1, "per_page": 20, "total": len(found), "saved_objects": found})

    async def _get(self, _request: web.BaseRequest, kind: str, name: str) -> Answer:
        assert self._elastic is not None
        status, found = await self._elastic.call("GET", f"/{_INDEX}/_doc/{kind}:{name}")
        if status != 200:
            return _refusal(404, "Not Found", f"Saved object [{kind}/{name}] not found")
        return as_json(_shown(found))


def _shown(hit: Obj) -> Obj:
    kind, _, name = hit["_id"].partition(":")
    return {"id": name, "type": kind, "attributes": hit["_source"].get(kind, {}), "references": hit["_source"].get("references", [])}


def _refusal(status: int, error: str, message: str) -> web.Response:
    return as_json({"statusCode": status, "error": error, "message": message}, status)


def read_settings(container: Container) -> Obj:
    """kibana.yml, flat, and over it the environment's names in capitals: ELASTICSEARCH_HOSTS is elasticsearch.hosts."""
    file = container.path(f"{_HOME}/config/kibana.yml")
    found = flat_settings(yaml.safe_load(file.read_text()) or {}) if file.is_file() else {}
    known = ("HOSTS", "USERNAME", "PASSWORD", "SERVICEACCOUNTTOKEN", "SSL_CERTIFICATEAUTHORITIES", "SSL_VERIFICATIONMODE")
    names = {f"ELASTICSEARCH_{name}": f"elasticsearch.{name.lower().replace('_', '.')}" for name in known} | {"SERVER_PORT": "server.port"}
    return found | {setting: container.env[name] for name, setting in names.items() if name in container.env}


def connect(container: Container, settings: Obj) -> ElasticClient:
    """Elasticsearch as the settings describe it."""
    hosts = settings.get("elasticsearch.hosts") or "http://elasticsearch:9200"
    if isinstance(hosts, str):
        hosts = yaml.safe_load(hosts) if hosts.startswith("[") else hosts.split(",")
    authority = settings.get("elasticsearch.ssl.certificateauthorities") or settings.get("elasticsearch.ssl.certificateAuthorities") or ""
    mode = settings.get("elasticsearch.ssl.verificationmode") or settings.get("elasticsearch.ssl.verificationMode") or "full"
    return ElasticClient(
        container, hosts, str(settings.get("elasticsearch.username", "")), str(settings.get("elasticsearch.password", "")),
        str(settings.get("elasticsearch.serviceaccounttoken") or settings.get("elasticsearch.serviceAccountToken") or ""),
        str(authority[0] if isinstance(authority, list) else authority), mode != "none",
    )  # fmt: skip


async def manage_token(container: Container) -> int:
    """`manage-es-token.js create` or `clean`: what to do it with stands in that file."""
    try:
        plan = json.loads(container.path(container.argv[1]).read_text())
        env = container.env
        elastic = ElasticClient(
            container, [plan["elasticsearch"]], env.get("ELASTICSEARCH_USERNAME", ""), env.get("ELASTICSEARCH_PASSWORD", ""),
            authority=env.get("ELASTICSEARCH_SSL_CERTIFICATEAUTHORITIES", ""),
        )  # fmt: skip
        path = f"/_security/service/elastic/kibana/credential/token/{plan['name']}"
        await elastic.call("DELETE", path)
        secrets = f"/api/v1/namespaces/{container.namespace}/secrets"
        async with InCluster(container) as api:
            with contextlib.suppress(ApiRefused):
                await api.call("DELETE", f"{secrets}/{plan['secret']}")
            if container.argv[-1] == "clean":
                return 0
            status, body = await elastic.call("POST", path)
            if status != 200:
                raise Unreachable(json.dumps(body))
            token = base64.b64encode(body["token"]["value"].encode()).decode()
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": plan["secret"]}, "type": "Opaque", "data": {"token": token}}
            await api.call("POST", secrets, secret)
    except (Unreachable, ApiRefused, OSError, ValueError, KeyError, IndexError) as error:
        container.log(f"Error: {error}")
        return 1
    return 0
