"""The API server's HTTP face: who asks, may they, what for; then the answer in the form they take."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from lab.faults import Faults
from lab.kubernetes import listing, static, writing
from lab.kubernetes.admitting import admit
from lab.kubernetes.answers import answer, answer_value, refusal
from lab.kubernetes.auth import Authenticator, User
from lab.kubernetes.bodies import MAX_BODY, too_large
from lab.kubernetes.call import Call, parse_path
from lab.kubernetes.connecting import CONNECTIONS, Connector
from lab.kubernetes.custom.definition import Definition
from lab.kubernetes.custom.formats import read_duration
from lab.kubernetes.discovery import AGGREGATED, Discovery
from lab.kubernetes.errors import ApiError, bad_request, method_not_allowed, no_such_path, no_such_resource
from lab.kubernetes.fairness import Fairness, too_many
from lab.kubernetes.kinds import ENDPOINTS, Kind
from lab.kubernetes.negotiation import Form, error_encoding, negotiate, wants_aggregated_discovery
from lab.kubernetes.rbac import Attributes, allowed
from lab.kubernetes.rbac import refusal as forbidden
from lab.kubernetes.registry import Registry
from lab.kubernetes.reviews import review
from lab.kubernetes.subresources import PodAccess, Subresources
from lab.kubernetes.watching import watch
from lab.kubernetes.webhooks import Webhooks
from lab.trouble import answer_or_fail

Obj = dict[str, Any]

log = logging.getLogger("lab.kubernetes")

REQUESTS: web.AppKey[Counter[tuple[str, str, str]]] = web.AppKey("requests", Counter)  # by user agent, verb, resource
_ESTABLISHING = 2.0  # lab seconds in which a new custom kind takes no new objects
_PATIENCE = 60.0  # real seconds that any request but a watch may take
_NO_TIME = 0.002  # real seconds in which a real server gets nothing done
_ENDPOINTS_WARNING = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"


def make_app(
    registry: Registry,
    *,
    auth: Authenticator | None = None,
    faults: Faults | None = None,
    pods: PodAccess | None = None,
    in_flight: int | None = None,
) -> web.Application:
    """The API server as an aiohttp application. `pods` answers for what runs in Pods: logs.

    `in_flight`: how many requests of all but administrators are worked on at once; more get 429.
    """
    app = web.Application(client_max_size=MAX_BODY + 1)
    app[REQUESTS] = Counter()
    server = ApiServer(registry, auth or Authenticator(registry), faults or Faults(), pods, app[REQUESTS], in_flight)
    app.router.add_route("*", "/{path:.*}", server.handle)
    return app


class ApiServer:
    """Handles every request."""

    def __init__(
        self,
        registry: Registry,
        auth: Authenticator,
        faults: Faults,
        pods: PodAccess | None,
        requests: Counter[tuple[str, str, str]],
        in_flight: int | None,
    ) -> None:
        self._registry = registry
        self._auth = auth
        self._faults = faults
        self._requests = requests
        self._fairness = Fairness(registry, in_flight)
        self._webhooks = Webhooks(registry)
        self._discovery = Discovery(registry.kinds)
        self._openapi = static.OpenApi(registry.kinds)
        self._subresources = Subresources(registry, auth, pods)
        self._connector = Connector(registry, pods)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request, faults and all."""
        return await answer_or_fail(self._faults, "api", request, lambda: self._answer(request), _fault_status)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        call = Call(request, parse_path(path), request.query)
        accept = request.headers.get("Accept", "")
        try:
            user = self._auth.authenticate(request.headers.get("Authorization"))
            user = self._act_for(call, user)
            call.user, call.groups, call.uid, call.extra = user.name, user.groups, user.uid, dict(user.extra)
            self._requests[(request.headers.get("User-Agent", ""), call.verb, call.target.plural or path)] += 1
            async with self._fairness.seat(user, call):
                self._authorize(call, user)
                if not call.target.resource:
                    return self._other(call, accept)
                async with asyncio.timeout(None if call.long_running else self._deadline(call)):
                    return await self._resource(call, accept)
        except TimeoutError:
            return refusal(_timed_out(), Form())
        except ApiError as error:
            return refusal(error, Form(error_encoding(accept)), call.warnings)
        except Exception:
            log.exception("%s %s", request.method, request.path_qs)
            return refusal(_panicked(), Form())

    # Who, and may they

    def _act_for(self, call: Call, user: User) -> User:
        """The user that a request impersonates, if it may."""
        name = call.request.headers.get("Impersonate-User")
        if not name:
            return user
        for resource, value in (("users", name), *(("groups", one) for one in call.request.headers.getall("Impersonate-Group", []))):
            if not allowed(self._registry, user, Attributes("impersonate", "", resource, "", "", value)):
                target = call.target
                verb = f"impersonate-on:user-info:{call.verb}"
                raise forbidden(user, Attributes(verb, target.group, target.plural, target.subresource, target.namespace, target.name))
        return User(name, (*call.request.headers.getall("Impersonate-Group", []), "system:authenticated"))

    def _authorize(self, call: Call, user: User) -> None:
        if "system:masters" in user.groups:
            return
        target = call.target
        if target.resource:
            wanted = Attributes(call.verb, target.group, target.plural, target.subresource, target.namespace, target.name)
        else:
            wanted = Attributes(call.method.lower(), path=call.request.path)
        if not allowed(self._registry, user, wanted):
            raise forbidden(user, wanted)

    # Resources

    async def _resource(self, call: Call, accept: str) -> web.StreamResponse:
        target = call.target
        kind = self._registry.kinds.by_path(target.group, target.version, target.plural)
        if kind is None and self._discovery.resources(target.group, target.version) is None and target.group:
            raise no_such_path() if self._discovery.group(target.group) is None else no_such_resource()
        if kind is None:
            raise no_such_path() if self._registry.kinds.is_custom(target.group) else no_such_resource()
        if target.in_namespace and not target.namespace:
            raise bad_request("Namespace parameter required.")
        self._check_scope(kind, call)
        if kind.definition is not None:
            await self._wait_for_storage(kind.definition, call)
        if target.subresource in CONNECTIONS and target.subresource in kind.subresources:
            return await self._connect(kind, call)
        form = negotiate(accept, call.watch, target.subresource == "log")
        if form.shape == "Table" and "includeObject" in call.query:
            form = replace(form, include=call.query["includeObject"])
        if call.method in ("POST", "PUT", "PATCH", "DELETE"):
            await _read_body(call)
            await admit(self._registry, self._webhooks, kind, call)
        if kind is ENDPOINTS:
            call.warnings.append(_ENDPOINTS_WARNING)
        if target.subresource:
            return await self._subresources.answer(kind, call, form)
        return await (self._item if target.name and not target.watch_path else self._collection)(kind, call, form)

    async def _connect(self, kind: Kind, call: Call) -> web.StreamResponse:
        if call.target.subresource != "proxy" and call.method not in ("GET", "POST"):
            raise method_not_allowed()
        if call.method not in ("GET", "HEAD", "OPTIONS"):
            await _read_body(call)
        return await self._connector.answer(kind, call)

    @staticmethod
    def _check_scope(kind: Kind, call: Call) -> None:
        target = call.target
        elsewhere = target.in_namespace if not kind.namespaced else target.name and not target.in_namespace
        if elsewhere:
            raise no_such_path() if kind.custom else no_such_resource()
        if kind.namespaced and not target.in_namespace and call.method == "POST":
            raise method_not_allowed()

    @staticmethod
    def _deadline(call: Call) -> float:
        """Seconds that a request may take."""
        value = call.query.get("timeout")
        if not value:
            return _PATIENCE
        try:
            seconds = read_duration(value).total_seconds()
        except ValueError:
            raise bad_request(f'invalid timeout specified in the request URL - time: invalid duration "{value}"') from None
        if 0 < seconds < _NO_TIME:
            raise _timed_out()
        return min(seconds, _PATIENCE) if seconds > 0 else _PATIENCE

    async def _wait_for_storage(self, definition: Definition, call: Call) -> None:
        """A new kind's first readers are sent away; its first writers wait until every API server of a cluster has to know of it."""
        clock = self._registry.clock
        if call.verb == "create":
            if clock.monotonic() - definition.established < _ESTABLISHING:
                await clock.sleep(_ESTABLISHING)
        elif not definition.ready:
            raise ApiError(429, "storage is (re)initializing", "TooManyRequests", {"retryAfterSeconds": 1}, {"Retry-After": "1"})

    async def _item(self, kind: Kind, call: Call, form: Form) -> web.StreamResponse:
        registry, method = self._registry, call.method
        _must_have(kind, {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method))
        if method == "GET":
            return answer(await listing.get(registry, kind, call, form), form, 200, call.warnings)
        if method == "PUT":
            return writing.update(registry, kind, call, form)
        if method == "PATCH":
            return writing.patch(registry, kind, call, form)
        return writing.delete(registry, kind, call, form)

    async def _collection(self, kind: Kind, call: Call, form: Form) -> web.StreamResponse:
        registry = self._registry
        verb = {"GET": "watch" if call.watch else "list", "POST": "create", "DELETE": "deletecollection"}.get(call.method)
        _must_have(kind, verb)
        if call.watch:
            return await watch(registry, kind, call, form)
        if verb == "list":
            return answer(await listing.list_(registry, kind, call, form), form, 200, call.warnings)
        if verb == "deletecollection":
            return await writing.delete_collection(registry, kind, call, form)
        if not kind.stored:
            return self._review(kind, call, form)
        return writing.create(registry, kind, call, form)

    def _review(self, kind: Kind, call: Call, form: Form) -> web.StreamResponse:
        from lab.kubernetes.options import write_context

        ctx = write_context(call, "CreateOptions")
        obj = writing.read_object(call, kind, ctx)
        if kind.kind == "Binding":
            from lab.kubernetes.subresources import bind

            return answer_value(bind(self._registry, call.target.namespace, obj["metadata"].get("name", ""), obj, ctx), form, 201)
        return answer_value(review(self._registry, kind, call, obj, self._auth), form, 201, call.warnings)

    # Everything else

    def _other(self, call: Call, accept: str) -> web.StreamResponse:
        request = call.request
        path = request.path if request.path == "/" else request.path.rstrip("/")
        if found := static.health(path, "verbose" in call.query):
            return found
        if found := self._openapi.answer(request):
            return found
        if path in ("/api", "/apis") and wants_aggregated_discovery(accept):
            return self._aggregated(request, path == "/api")
        value = self._value(path, request.host)
        if value is None:
            raise no_such_resource() if path.startswith("/api/") or self._known_group(path) else no_such_path()
        if call.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        headers = {"Cache-Control": "public, max-age=3600"} if path.startswith("/.well-known") else {}
        form = negotiate(accept) if path not in ("/version", "/") else Form()
        response = answer(orjson.dumps(value) + b"\n", form)
        response.headers.update(headers)
        return response

    def _value(self, path: str, host: str) -> Obj | None:
        parts = path.strip("/").split("/")
        plain: dict[str, Callable[[], Obj]] = {
            "/": lambda: static.paths(self._registry.kinds),
            "/version": lambda: static.VERSION,
            "/api": lambda: self._discovery.api(host),
            "/apis": self._discovery.groups,
            "/.well-known/openid-configuration": lambda: static.openid_configuration(host),
            "/openid/v1/jwks": lambda: {"keys": []},
        }
        if path in plain:
            return plain[path]()
        if parts[0] == "api" and len(parts) == 2:
            return self._discovery.resources("", parts[1])
        if parts[0] == "apis" and len(parts) == 3:
            return self._discovery.resources(parts[1], parts[2])
        return self._discovery.group(parts[1]) if parts[0] == "apis" and len(parts) == 2 else None

    def _known_group(self, path: str) -> bool:
        parts = path.strip("/").split("/")
        return parts[0] == "apis" and len(parts) == 3 and self._discovery.group(parts[1]) is not None

    def _aggregated(self, request: web.Request, core: bool) -> web.Response:
        data, tag = self._discovery.aggregated(core)
        headers = {"Cache-Control": "public", "ETag": tag, "Vary": "Accept"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=data, headers={**headers, "Content-Type": AGGREGATED})


def _panicked() -> ApiError:
    """500 as a real server answers when a fault of its own comes up."""
    text = "This request caused apiserver to panic. Look in the logs for details."
    return ApiError(500, text, "InternalError", text=text + "\n")


def _timed_out() -> ApiError:
    """504, which comes as text and says of itself neither kind nor apiVersion."""
    message = "Timeout: request did not complete within the allotted timeout"
    body = {"metadata": {}, "status": "Failure", "message": message, "reason": "Timeout", "details": {}, "code": 504}
    return ApiError(504, message, "Timeout", {}, text=orjson.dumps(body).decode() + "\n")


def _must_have(kind: Kind, verb: str | None) -> None:
    if verb is None or verb not in kind.verbs:
        raise method_not_allowed()


async def _read_body(call: Call) -> None:
    try:
        call.body = await call.request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large() from None
    if len(call.body) > MAX_BODY:
        raise too_large()


def _fault_status(code: int, options: dict[str, Any]) -> web.Response:
    """An answer that a fault asks for; a 429 is the text that overload protection sends."""
    del options
    if code == 429:
        return refusal(too_many(), Form())
    text = "Internal error occurred: a fault was asked for" if code == 500 else f"a fault was asked for: {code}"
    return web.json_response(ApiError(code, text, "InternalError" if code == 500 else None).body, status=code)
