"""Elasticsearch's REST API, as far as the lab has it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from lab.programs.elastic.cluster import ElasticCluster
from lab.programs.elastic.indices import ElasticError, Index, check_policy, duration, flat_settings, nested
from lab.programs.elastic.searching import search
from lab.programs.http_program import Answer, Routes, as_json

Obj = dict[str, Any]

_NAME = r"([^/_][^/]*|_all|\*[^/]*)"
_ORDER = ("red", "yellow", "green")


class Api:
    """The routes of one node."""

    def __init__(self, cluster: ElasticCluster, node: str, version: str, user: str) -> None:
        self._cluster, self._node, self._version, self._user = cluster, node, version, user
        self._routes = Routes([
            ("GET|HEAD", "/", self._home),
            ("GET", r"/_cluster/health(?:/([^/]+))?", self._health),
            ("GET", r"/_cat/indices(?:/([^/]+))?", self._cat),
            ("GET", r"/_ilm/policy(?:/([^/]+))?", self._get_policies),
            ("PUT", r"/_ilm/policy/([^/]+)", self._put_policy),
            ("DELETE", r"/_ilm/policy/([^/]+)", self._delete_policy),
            ("GET|HEAD", r"/_(index_template|template)(?:/([^/]+))?", self._get_templates),
            ("PUT|POST", r"/_(index_template|template)/([^/]+)", self._put_template),
            ("DELETE", r"/_(index_template|template)/([^/]+)", self._delete_template),
            ("GET", r"/_security/_authenticate", self._who),
            ("POST|PUT", r"/_security/service/elastic/kibana/credential/token/([^/]+)", self._new_token),
            ("DELETE", r"/_security/service/elastic/kibana/credential/token/([^/]+)", self._delete_token),
            ("POST|PUT", r"(?:/([^/_][^/]*))?/_bulk", self._bulk),
            ("GET|POST", rf"(?:/{_NAME})?/_search", self._search),
            ("GET|POST", rf"(?:/{_NAME})?/_count", self._count),
            ("GET|POST", rf"(?:/{_NAME})?/_(?:refresh|flush)", self._refresh),
            ("GET", rf"(?:/{_NAME})?/_settings(?:/.*)?", self._get_settings),
            ("PUT", rf"(?:/{_NAME})?/_settings", self._put_settings),
            ("GET", r"/([^/_][^/]*)/_doc/([^/]+)", self._get_document),
            ("PUT|POST", r"/([^/_][^/]*)/_(doc|create)(?:/([^/]+))?", self._put_document),
            ("DELETE", r"/([^/_][^/]*)/_doc/([^/]+)", self._delete_document),
            ("GET|HEAD", rf"/{_NAME}", self._get_index),
            ("PUT", r"/([^/_][^/]*)", self._create_index),
            ("DELETE", rf"/{_NAME}", self._delete_index),
        ])  # fmt: skip

    async def answer(self, request: web.BaseRequest) -> Answer:
        """One request; ElasticError for what cannot be."""
        if self._cluster.master is None and request.path != "/":
            raise ElasticError(503, "master_not_discovered_exception", "null")
        answer = await self._routes(request)
        if answer is not None:
            return answer
        known = f"no handler found for uri [{request.path_qs}] and method [{request.method}]"
        return as_json({"error": known}, 400)

    # The cluster

    async def _home(self, _request: web.BaseRequest) -> Answer:
        number = {"number": self._version, "build_flavor": "default", "build_type": "docker", "build_hash": "lab", "build_snapshot": False}
        least = {"minimum_wire_compatibility_version": "6.8.0", "minimum_index_compatibility_version": "6.0.0-beta1"}
        names = {"name": self._node, "cluster_name": self._cluster.name, "cluster_uuid": self._cluster.holdings.uuid}
        return as_json({**names, "version": number | least, "tagline": "You Know, for Search"}, headers={"X-elastic-product": "Elasticsearch"})

    async def _health(self, request: web.BaseRequest, pattern: str | None) -> Answer:
        indices = list(self._cluster.holdings.indices.values()) if pattern is None else self._cluster.holdings.matching(pattern)
        wanted, nodes = request.query.get("wait_for_status"), request.query.get("wait_for_nodes", "0").lstrip(">=")
        if wanted is not None and wanted not in _ORDER:
            constant = f"org.elasticsearch.cluster.health.ClusterHealthStatus.{wanted.upper()}"
            raise ElasticError(400, "illegal_argument_exception", f"No enum constant {constant}")
        until = time.monotonic() + duration(request.query.get("timeout", "30s"))
        while True:
            health = self._cluster.health(indices)
            there = health["number_of_nodes"] >= int(nodes or 0)
            if there and (wanted is None or _ORDER.index(health["status"]) >= _ORDER.index(wanted)):
                return as_json(health)
            if time.monotonic() >= until:
                return as_json(health | {"timed_out": True}, 408)
            await asyncio.sleep(0.05)

    async def _cat(self, request: web.BaseRequest, pattern: str | None) -> Answer:
        rows = []
        for index in self._cluster.holdings.matching(pattern or "*"):
            health = self._cluster.health([index])["status"]
            counts = {"pri": "1", "rep": str(index.replicas), "docs.count": str(len(index.documents)), "docs.deleted": "0"}
            rows.append({"health": health, "status": "open", "index": index.name, "uuid": index.uuid, **counts})
        if request.query.get("format") == "json":
            return as_json(rows)
        return web.Response(text="".join(" ".join(row.values()) + "\n" for row in rows))

    async def _who(self, _request: web.BaseRequest) -> Answer:
        return as_json({"username": self._user, "roles": ["superuser"], "enabled": True, "authentication_type": "realm"})

    async def _new_token(self, _request: web.BaseRequest, name: str) -> Answer:
        if name in self._cluster.holdings.tokens:
            problem = f"[elastic/kibana/{name}]: version conflict, document already exists (current version [1])"
            raise ElasticError(409, "version_conflict_engine_exception", problem)
        return as_json({"created": True, "token": {"name": name, "value": self._cluster.new_token(name)}})

    async def _delete_token(self, _request: web.BaseRequest, name: str) -> Answer:
        found = self._cluster.holdings.tokens.pop(name, None) is not None
        return as_json({"found": found}, 200 if found else 404)

    # Lifecycle policies and templates

    async def _get_policies(self, _request: web.BaseRequest, name: str | None) -> Answer:
        policies = self._cluster.holdings.policies
        if name is not None and name not in policies:
            raise ElasticError(404, "resource_not_found_exception", f"Lifecycle policy not found: {name}")
        shown = {one: policies[one] | {"in_use_by": self._cluster.holdings.using(one)} for one in ([name] if name else policies)}
        return as_json(shown)

    async def _put_policy(self, request: web.BaseRequest, name: str) -> Answer:
        policy = check_policy(await read_json(request))
        version = self._cluster.holdings.policies.get(name, {}).get("version", 0) + 1
        modified = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._cluster.holdings.policies[name] = {"version": version, "modified_date": modified, **policy}
        return as_json({"acknowledged": True})

    async def _delete_policy(self, _request: web.BaseRequest, name: str) -> Answer:
        using = self._cluster.holdings.using(name)["indices"]
        if using:
            raise ElasticError(400, "illegal_argument_exception", f"Cannot delete policy [{name}]. It is in use by one or more indices: {using}")
        if self._cluster.holdings.policies.pop(name, None) is None:
            raise ElasticError(404, "resource_not_found_exception", f"Lifecycle policy not found: {name}")
        return as_json({"acknowledged": True})

    def _templates(self, kind: str) -> dict[str, Obj]:
        return self._cluster.holdings.templates if kind == "index_template" else self._cluster.holdings.legacy

    async def _get_templates(self, request: web.BaseRequest, kind: str, name: str | None) -> Answer:
        templates = self._templates(kind)
        if name is not None and name not in templates:
            if kind == "template" or request.method == "HEAD":
                return as_json({}, 404)
            raise ElasticError(404, "resource_not_found_exception", f"index template matching [{name}] not found")
        shown = {one: templates[one] for one in ([name] if name else templates)}
        if kind == "template":
            return as_json(shown)
        return as_json({"index_templates": [{"name": one, "index_template": template} for one, template in shown.items()]})

    async def _put_template(self, request: web.BaseRequest, kind: str, name: str) -> Answer:
        body = await read_json(request)
        if not isinstance(body, dict) or not body.get("index_patterns"):
            raise ElasticError(400, "action_request_validation_exception", "Validation Failed: 1: index patterns are missing;")
        self._templates(kind)[name] = body
        return as_json({"acknowledged": True})

    async def _delete_template(self, _request: web.BaseRequest, kind: str, name: str) -> Answer:
        if self._templates(kind).pop(name, None) is None:
            raise ElasticError(404, "index_template_missing_exception", f"index_template [{name}] missing")
        return as_json({"acknowledged": True})

    # Indices

    async def _get_index(self, request: web.BaseRequest, pattern: str) -> Answer:
        indices = self._cluster.holdings.matching(pattern)
        if request.method == "HEAD":
            return as_json({}, 200)
        return as_json({index.name: {"aliases": {}, "mappings": index.mappings, **self._settings(index)} for index in indices})

    async def _create_index(self, request: web.BaseRequest, name: str) -> Answer:
        self._cluster.tick()
        self._cluster.holdings.create(name, await read_json(request) or {})
        return as_json({"acknowledged": True, "shards_acknowledged": True, "index": name})

    async def _delete_index(self, _request: web.BaseRequest, pattern: str) -> Answer:
        if "*" in pattern or pattern == "_all":
            raise ElasticError(400, "illegal_argument_exception", "Wildcard expressions or all indices are not allowed")
        for index in self._cluster.holdings.matching(pattern):
            del self._cluster.holdings.indices[index.name]
        return as_json({"acknowledged": True})

    async def _get_settings(self, _request: web.BaseRequest, pattern: str | None) -> Answer:
        return as_json({index.name: self._settings(index) for index in self._cluster.holdings.matching(pattern or "_all")})

    async def _put_settings(self, request: web.BaseRequest, pattern: str | None) -> Answer:
        body = await read_json(request)
        if not isinstance(body, dict) or not body:
            raise ElasticError(400, "action_request_validation_exception", "Validation Failed: 1: no settings to update;")
        for index in self._cluster.holdings.matching(pattern or "_all"):
            for name, value in flat_settings(body.get("settings") or body).items():
                if value is None:
                    index.settings.pop(name, None)
                else:
                    index.settings[name] = value
        return as_json({"acknowledged": True})

    @staticmethod
    def _settings(index: Index) -> Obj:
        fixed = {"number_of_shards": "1", "number_of_replicas": str(index.replicas), "provided_name": index.name, "uuid": index.uuid}
        return {"settings": {"index": fixed | nested(index.settings)}}

    # Documents

    async def _search(self, request: web.BaseRequest, pattern: str | None) -> Answer:
        body = await read_json(request) or {}
        for name in ("size", "from"):
            if name in request.query:
                body[name] = request.query[name]
        return as_json(search(self._cluster.holdings.matching(pattern or "_all"), body))

    async def _count(self, _request: web.BaseRequest, pattern: str | None) -> Answer:
        count = self._cluster.holdings.count(pattern or "_all")
        return as_json({"count": count, "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0}})

    async def _refresh(self, _request: web.BaseRequest, pattern: str | None) -> Answer:
        count = len(self._cluster.holdings.matching(pattern or "_all"))
        return as_json({"_shards": {"total": count, "successful": count, "failed": 0}})

    async def _get_document(self, _request: web.BaseRequest, name: str, document: str) -> Answer:
        (index,) = self._cluster.holdings.matching(name)
        about = {"_index": name, "_type": "_doc", "_id": document}
        if document not in index.documents:
            return as_json({**about, "found": False}, 404)
        return as_json({**about, "_version": 1, "found": True, "_source": index.documents[document]})

    async def _put_document(self, request: web.BaseRequest, name: str, how: str, document: str | None) -> Answer:
        source = await read_json(request)
        result = self._write(name, document, source, only_new=how == "create" or request.query.get("op_type") == "create")
        return as_json(result, 201 if result["result"] == "created" else 200)

    async def _delete_document(self, _request: web.BaseRequest, name: str, document: str) -> Answer:
        (index,) = self._cluster.holdings.matching(name)
        found = index.documents.pop(document, None) is not None
        return as_json({"_index": name, "_id": document, "result": "deleted" if found else "not_found"}, 200 if found else 404)

    def _write(self, name: str, document: str | None, source: Any, only_new: bool) -> Obj:
        if not isinstance(source, dict):
            raise ElasticError(400, "mapper_parsing_exception", "failed to parse")
        self._cluster.tick()
        index = self._cluster.holdings.index_for(name)
        key = document or uuid.uuid4().hex[:20]
        there = key in index.documents
        if there and only_new:
            raise ElasticError(409, "version_conflict_engine_exception", f"[{key}]: version conflict, document already exists (current version [1])")
        index.documents[key] = source
        shards = {"total": 1 + index.replicas, "successful": 1, "failed": 0}
        return {"_index": name, "_type": "_doc", "_id": key, "_version": 1 + there, "result": "updated" if there else "created", "_shards": shards}

    async def _bulk(self, request: web.BaseRequest, default: str | None) -> Answer:
        text = await request.text()
        if not text.endswith("\n"):
            problem = "The bulk request must be terminated by a newline [\\n]"
            raise ElasticError(400, "illegal_argument_exception", problem)
        items: list[dict[str, Obj]] = []
        lines = iter(line for line in text.split("\n") if line.strip())
        for line in lines:
            action, about = _action(line)
            name, document = about.get("_index") or default, about.get("_id")
            source = None if action == "delete" else _parse(next(lines, "null"))
            items.append({action: self._bulk_item(action, name, document, source)})
        return as_json({"took": 1, "errors": any("error" in item for one in items for item in one.values()), "items": items})

    def _bulk_item(self, action: str, name: str | None, document: str | None, source: Any) -> Obj:
        try:
            if not name:
                raise ElasticError(400, "action_request_validation_exception", "Validation Failed: 1: index is missing;")
            if action == "delete":
                found = self._cluster.holdings.index_for(name).documents.pop(document or "", None) is not None
                return {"_index": name, "_id": document, "result": "deleted" if found else "not_found", "status": 200 if found else 404}
            result = self._write(name, document, source.get("doc") if action == "update" else source, only_new=action == "create")
            return {**result, "status": 201 if result["result"] == "created" else 200}
        except ElasticError as error:
            return {"_index": name, "_type": "_doc", "_id": document, "status": error.status, "error": error.body["error"]["root_cause"][0]}


def _action(line: str) -> tuple[str, Obj]:
    found = _parse(line)
    if not isinstance(found, dict) or len(found) != 1 or next(iter(found)) not in ("index", "create", "update", "delete"):
        problem = "Malformed action/metadata line [1], expected a simple value for field [_index]"
        raise ElasticError(400, "illegal_argument_exception", problem)
    ((action, about),) = found.items()
    return action, about if isinstance(about, dict) else {}


async def read_json(request: web.BaseRequest) -> Any:
    """The body; None without one."""
    text = await request.text()
    return _parse(text) if text.strip() else None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ElasticError(400, "parse_exception", "request body is not valid JSON") from None


def show_error(error: ElasticError, request: web.BaseRequest) -> web.Response:
    """As Elasticsearch answers it."""
    headers: dict[str, str] = error.body["error"].get("header") or {}
    if request.method == "HEAD":
        return web.Response(status=error.status, headers=headers)
    return as_json(error.body, error.status, headers)
