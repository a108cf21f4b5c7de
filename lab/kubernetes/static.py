"""Paths that are no resources: version, health, the list of paths, OpenAPI."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import orjson
from aiohttp import web

from lab.kubernetes.answers import text_answer
from lab.kubernetes.kinds import Kind, Kinds

Obj = dict[str, Any]

VERSION: Obj = {
    "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2", "gitCommit": "98b35193b2ac7a23a673325f5e9b830ecd5ba406", "gitTreeState": "clean",
    "buildDate": "2026-08-21T00:00:00Z", "goVersion": "go1.26.10", "compiler": "gc", "platform": "linux/amd64",
}  # fmt: skip

# What /readyz looks at, in its order.
_CHECKS = (
    "ping", "log", "informer-sync", "start-apiserver-admission-initializer", "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer", "priority-and-fairness-filter", "storage-object-count-tracker-hook",
    "start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced", "start-system-namespaces-controller",
    "peer-endpoint-reconciler-controller", "start-cluster-authentication-info-controller", "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector", "storage-readiness", "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers", "rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer", "bootstrap-controller", "start-kubernetes-service-cidr-controller",
    "start-kube-aggregator-informers", "apiservice-status-local-available-controller", "apiservice-status-remote-available-controller",
    "apiservice-registration-controller", "apiservice-wait-for-first-sync", "apiservice-discovery-controller",
    "kube-apiserver-autoregistration", "autoregister-completion", "apiservice-openapi-controller", "apiservice-openapiv3-controller",
    "shutdown",
)  # fmt: skip
_PLAIN_CHECKS = ("ping", "log", "informer-sync", "autoregister-completion", "shutdown", "etcd", "loopback-serving-certificate")
_HEALTH = ("healthz", "livez", "readyz")


def _checks(page: str) -> list[str]:
    """Names of the checks of a health page."""
    left_out = () if page == "readyz" else ("informer-sync", "shutdown")
    names = [name for name in _CHECKS if name not in left_out]
    if page != "readyz":
        names[2:2] = ["etcd", "loopback-serving-certificate"]
    return [name if name in _PLAIN_CHECKS else f"poststarthook/{name}" for name in names]


def health(path: str, verbose: bool) -> web.Response | None:
    """`/healthz`, `/livez`, `/readyz` and the single checks below; None for another path."""
    page, _, check = path.strip("/").partition("/")
    if page not in _HEALTH:
        return None
    if check:
        return text_answer("ok") if check in _checks(page) else None
    if not verbose:
        return text_answer("ok")
    lines = "".join(f"[+]{name} ok\n" for name in _checks(page))
    return text_answer(f"{lines}{page} check passed\n")


def paths(kinds: Kinds) -> Obj:
    """`/`: every path that is served."""
    found = {
        "/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/", "/flagz", "/metrics", "/metrics/slis", "/openapi/v2",
        "/openapi/v3", "/openapi/v3/", "/openid/v1/jwks", "/statusz", "/version",
    }  # fmt: skip
    for group, versions in kinds.group_versions().items():
        if group:
            found |= {f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)}
    for page in _HEALTH:
        found |= {f"/{page}", *(f"/{page}/{check}" for check in _checks(page))}
    return {"paths": sorted(found)}


def openid_configuration(address: str) -> Obj:
    """`/.well-known/openid-configuration`."""
    return {
        "issuer": "https://kubernetes.default.svc", "jwks_uri": f"https://{address}/openid/v1/jwks", "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
    }  # fmt: skip


# The smallest OpenAPI v2 document that kubectl is content with: the patch operation of Namespace, in protobuf.
_OPENAPI_V2 = base64.b64decode(
    "CgMyLjASCQoEc3R1YhIBMEK4ARK1AQoZL2FwaS92MS9uYW1lc3BhY2VzL3tuYW1lfRKXAUKUAUImCiQSIhogEgVxdWVyeSIPZmllbGRWYWxpZGF0aW9uMgZzdHJpbmdCHQobEhkaFx"
    "IFcXVlcnkiBmRyeVJ1bjIGc3RyaW5naksKH3gta3ViZXJuZXRlcy1ncm91cC12ZXJzaW9uLWtpbmQSKBImZ3JvdXA6ICIiCmtpbmQ6IE5hbWVzcGFjZQp2ZXJzaW9uOiB2MQo="
)
_OPENAPI_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class OpenApi:
    """OpenAPI documents: for each group version its kinds with the patch operation that clients look for, and no schemas."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._changes = -1
        self._documents: dict[str, tuple[bytes, str]] = {}

    def _all(self) -> dict[str, tuple[bytes, str]]:
        """Documents and their hashes by path."""
        if self._changes != self._kinds.changes:
            self._changes = self._kinds.changes
            names = {".well-known/openid-configuration", "api", "api/v1", "apis", "openid/v1/jwks", "version"}
            for group, versions in self._kinds.group_versions().items():
                if group:
                    names |= {f"apis/{group}/{version}" for version in versions}
                    names |= set() if self._kinds.is_custom(group) else {f"apis/{group}"}
            self._documents = {name: self._document(name) for name in sorted(names)}
        return self._documents

    def _document(self, name: str) -> tuple[bytes, str]:
        found: Obj = {}
        schemas: Obj = {}
        for kind in self._kinds.all():
            prefix = f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"
            if prefix == name and "patch" in kind.verbs:
                where = "namespaces/{namespace}/" if kind.namespaced else ""
                found[f"/{prefix}/{where}{kind.plural}/{{name}}"] = {"patch": _patch_operation(kind)}
            if prefix == name and kind.definition is not None:
                schemas[_schema_name(kind)] = _schema(kind, kind.definition.schema)
        document = {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "1.36"}, "paths": found, "components": {"schemas": schemas}}
        data = orjson.dumps(document)
        return data, hashlib.sha512(data).hexdigest().upper()

    def answer(self, request: web.Request) -> web.Response | None:
        """Whatever is below `/openapi`; None for another path."""
        path = request.path.rstrip("/")
        if path == "/openapi/v3":
            index = {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={tag}"} for name, (_, tag) in self._all().items()}
            # The real server forgets to say that this is JSON.
            return self._cached(request, orjson.dumps({"paths": index}), "text/plain; charset=utf-8", {"Cache-Control": "no-cache, private"})
        if path == "/openapi/v2":
            tag = hashlib.sha512(_OPENAPI_V2).hexdigest().upper()
            headers = {"Cache-Control": "no-cache, private", "ETag": f'"{tag}"', "Vary": "Accept-Encoding"}
            if "protobuf" in request.headers.get("Accept", ""):
                return self._cached(request, _OPENAPI_V2, _OPENAPI_V2_TYPE, headers)
            return self._cached(request, _v2_json(), "application/json", headers)
        found = self._all().get(path.removeprefix("/openapi/v3/")) if path.startswith("/openapi/v3/") else None
        if found is None:
            return None
        data, tag = found
        headers = {"Cache-Control": "public, immutable", "ETag": f'"{tag}"'}
        return self._cached(request, data, "application/json", headers)

    def _cached(self, request: web.Request, data: bytes, content_type: str, headers: dict[str, str]) -> web.Response:
        """304 when the client has it already."""
        headers = {**headers, "Accept-Ranges": "bytes", "Last-Modified": format_datetime(datetime.now(UTC), usegmt=True)}
        if _has_it(request, headers):
            return web.Response(status=304, headers=headers)
        response = web.Response(body=data, headers={**headers, "Content-Type": content_type})
        if "ETag" in headers:
            response.headers.add("Vary", "Accept")
        if "immutable" in headers["Cache-Control"]:
            year = (datetime.now(UTC) + timedelta(days=365)).strftime("%a, %d %b %Y %H:%M:%S UTC")
            response.headers["Expires"] = year
        return response


def _has_it(request: web.Request, headers: dict[str, str]) -> bool:
    if wanted := request.headers.get("If-None-Match"):
        return wanted == headers.get("ETag")
    since = request.headers.get("If-Modified-Since")
    try:
        return since is not None and parsedate_to_datetime(since) >= parsedate_to_datetime(headers["Last-Modified"])
    except ValueError:
        return False


def _patch_operation(kind: Kind) -> Obj:
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    of = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {
        "parameters": parameters, "responses": {"200": {"description": "OK"}}, "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": of
    }  # fmt: skip


def _schema_name(kind: Kind) -> str:
    """`dev.example.demo.v1.Gadget`."""
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _schema(kind: Kind, schema: Obj) -> Obj:
    """A custom kind's schema with what every object has."""
    own = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {**schema, "properties": {**own, **(schema.get("properties") or {})}, "x-kubernetes-group-version-kind": [gvk]}


def _v2_json() -> bytes:
    return orjson.dumps({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.2"}, "paths": {}, "definitions": {}})
