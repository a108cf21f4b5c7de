"""One cluster, reached by the official client: JSON in, JSON out, with bounded concurrency, retries, and errors of our own two kinds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from blocks.cluster import Cluster, ClusterUnusable
from networks.errors import Permanent, Transient
from tasks.kubernetes.errors import Conflict, Expired, NotForwarded, Unsure, translate
from tasks.kubernetes.kinds import Kind, Obj
from tasks.reporting import logger
from tasks.retrying import retry_transient
from tasks.waiting import WALL, Clock

PATIENCE = 45.0  # seconds of trouble to ride out before giving up
MANAGER = "cosmodrome"  # our name as a field manager: what server-side apply remembers as ours
JSON = "application/json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_CHANNELS = "v4.channel.k8s.io"
_FORWARD_SECONDS = 10.0
_WATCH_SECONDS = 30.0  # until a watch has begun
_TELL_AFTER, _TELL_EVERY = 2.0, 10.0  # seconds of trouble
_PAGE = 500
_USUAL_LIMITS = aiohttp.ClientTimeout(total=30, sock_connect=10)
_LOST = (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError, OSError)


class Connection:
    """A client for one cluster.

    Models of the official client are not used: they check every field of every object with pydantic, which costs more than the request itself when a
    hundred miners are watched, and refuses objects of newer servers. What it does for us is to understand kubeconfigs, credentials, TLS and proxies.
    """

    def __init__(
        self,
        client: ApiClient,
        name: str = "cluster",
        *,
        renew: Callable[[], Awaitable[ApiClient]] | None = None,
        at_once: int = 16,
        patience: float | None = None,
        clock: Clock = WALL,
    ) -> None:
        self.name = name
        self.requests = 0
        self._client = prepared(client)
        self._clients = [self._client]  # older ones stay open: others may have requests under way on them
        self._renew = renew  # makes another client when credentials run out: those of an `exec` section last an hour
        self._renewing = asyncio.Lock()
        self._slots = asyncio.Semaphore(at_once)
        self._patience = PATIENCE if patience is None else patience
        self._told_at = float("-inf")
        self._clock = clock

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Obj:
        """One object. NotThere when it does not exist."""
        return await self._json("GET", kind.path(namespace, name), what=f"read {kind.kind} {name}")

    async def find(
        self, kind: Kind, namespace: str | None = None, labels: str = "", fields: str = "", *, metadata_only: bool = False
    ) -> tuple[list[Obj], str]:
        """All objects that match, page by page, and the version of the list: where a watch goes on.

        With `metadata_only` the objects come without spec, data and status, so that nothing secret is read in passing.
        """
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(_PAGE)}
        items: list[Obj] = []
        while True:
            accept = METADATA_ONLY if metadata_only else JSON
            page = await self._json("GET", kind.path(namespace), query=query, accept=accept, what=f"list {kind.plural}")
            for item in page.get("items") or []:  # items of a list come without kind and apiVersion
                items.append({**item, "apiVersion": kind.api_version, "kind": kind.kind})
            following = page["metadata"].get("continue")
            if not following:
                return items, str(page["metadata"]["resourceVersion"])
            query["continue"] = following

    async def apply(self, kind: Kind, obj: Obj) -> tuple[Obj, bool | None]:
        """Server-side apply: gives the object as it now is, and whether it was created. Safe to repeat.

        None when nobody can tell: an earlier attempt's answer got lost, and it may have been that one.

        Conflicts are forced: a field that the plan names is ours, as for every controller; fields that it does not name stay whosever they are.
        """
        meta = obj["metadata"]
        query = {"fieldManager": MANAGER, "force": "true"}
        path = kind.path(meta.get("namespace"), meta["name"])
        request = _Request("PATCH", path, f"apply {kind.kind} {meta['name']}", query, obj, _APPLY)
        status, text = await self._send(request)
        return _loads(text), True if status == 201 else None if request.lost else False

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """Make an object that is not there yet. AlreadyThere when it is; Unsure when the answer got lost: then read it."""
        meta = obj["metadata"]
        query = {"fieldManager": MANAGER}
        path = kind.path(meta.get("namespace"))
        return await self._json("POST", path, query=query, body=obj, what=f"create {kind.kind} {meta['name']}", repeatable=False)

    async def merge(self, kind: Kind, namespace: str | None, name: str, changes: Obj) -> Obj:
        """Change what `changes` names (RFC 7386). With a resourceVersion in them only if the object still has that one: else Conflict.

        Unsure when the answer got lost: then read.
        """
        what = f"change {kind.kind} {name}"
        path = kind.path(namespace, name)
        return await self._json("PATCH", path, body=changes, content_type=_MERGE, what=what, repeatable=False, but_not=(Unsure, Conflict))

    async def delete(self, kind: Kind, namespace: str | None, name: str, uid: str | None = None, propagation: str = "Background") -> None:
        """Ask for an object's deletion; with a uid only if it still is that very object. NotThere when it is gone."""
        body: Obj = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        await self._json("DELETE", kind.path(namespace, name), body=body, what=f"delete {kind.kind} {name}")

    async def watch(
        self, kind: Kind, namespace: str | None, version: str, labels: str = "", seconds: int = 240, begun: Callable[[], None] = lambda: None
    ) -> AsyncIterator[tuple[str, Obj]]:
        """Events (type, object) from a version on, until the server ends the watch. `begun` is called when the server has agreed to it.

        Expired when the version is no longer kept; Transient when the connection is lost.
        """
        query = {"watch": "1", "resourceVersion": version, "labelSelector": labels, "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=seconds + 15)
        what = f"watch {kind.plural}"
        response = None
        try:
            async with asyncio.timeout(_WATCH_SECONDS):
                response = await self._open(_Request("GET", kind.path(namespace), what, query), limits)
            if response.status != 200:
                raise translate(response.status, await response.text(), response.headers, what)
            begun()
            async for line in response.content:
                if not line.strip():
                    continue
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise translate(int(status.get("code") or 500), json.dumps(status), {}, what)
                yield event["type"], event["object"]
        except _LOST as error:
            raise Transient(f"cannot {what}", why=_say(error)) from None
        except ValueError as error:
            raise Transient(f"cannot {what}", why=f"the answer was cut: {error}") from None
        finally:
            if response is not None:
                response.close()

    async def log(self, namespace: str, pod: str, *, container: str = "", tail: int = 0, previous: bool = False, limit: int = 65536) -> str:
        """The last lines of a container's log, or with no `tail` its beginning: at most `limit` bytes. The first container's when none is named."""
        lines = str(tail) if tail else ""
        query = {"container": container, "tailLines": lines, "limitBytes": str(limit), "previous": "true" if previous else ""}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        _, text = await self._send(_Request("GET", path, f"read the log of pod {pod}", query, accept="*/*"))
        return text

    @asynccontextmanager
    async def port_forward(self, namespace: str, pod: str, port: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket that leads to a port of a pod: the channels of `v4.channel.k8s.io`. NotForwarded when it is refused for good."""
        request = _Request("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward", f"forward port {port} of pod {pod}", {"ports": str(port)})
        try:
            async with asyncio.timeout(_FORWARD_SECONDS):
                socket = await self._open_socket(self._client, request)
        except aiohttp.WSServerHandshakeError as refused:
            error = translate(refused.status, refused.message, refused.headers or {}, request.what)
            raise error if isinstance(error, Transient) else NotForwarded(error.what, why=error.why, advice=error.advice) from None
        except _LOST as lost:
            raise Transient(f"cannot {request.what}", why=_say(lost)) from None
        try:
            yield socket
        finally:
            await socket.close()

    async def _open_socket(self, client: ApiClient, request: _Request, *, again: bool = True) -> aiohttp.ClientWebSocketResponse:
        url, headers = await _addressed(client, request, {})
        rest = client.rest_client
        rest.pool_manager = rest.pool_manager or rest._create_pool_manager()
        self.requests += 1
        options: dict[str, Any] = {"proxy": rest.proxy, "proxy_headers": rest.proxy_headers}
        options |= {"server_hostname": client.configuration.tls_server_name, "timeout": aiohttp.ClientWSTimeout(ws_close=1.0), "max_msg_size": 0}
        try:
            socket: aiohttp.ClientWebSocketResponse = await rest.pool_manager.ws_connect(url, headers=headers, protocols=(_CHANNELS,), **options)
        except aiohttp.WSServerHandshakeError as refused:
            if again and refused.status == 401 and await self._renewed(client):
                return await self._open_socket(self._client, request, again=False)
            raise
        return socket

    async def version(self) -> str:
        """The server's version, such as v1.36.2."""
        return str((await self._json("GET", "/version", what="ask the cluster's version"))["gitVersion"])

    async def discovery(self, root: str) -> list[Obj]:
        """All groups below /api or /apis, with their versions and kinds; empty on servers too old to tell them in one answer."""
        answer = await self._json("GET", root, accept=_DISCOVERY, what="ask for the cluster's kinds of objects")
        return list(answer.get("items") or [])

    async def _json(self, method: str, path: str, **options: Any) -> Obj:
        _, text = await self._send(_Request(method, path, **options))
        return _loads(text)

    async def _send(self, request: _Request) -> tuple[int, str]:
        """Status and text of the answer, after riding out what trouble may be ridden out."""
        again: dict[str, Any] = {"patience": self._patience, "but_not": request.but_not, "clock": self._clock, "tell": self._tell}
        return await retry_transient(lambda: self._once(request), **again)

    def _tell(self, error: Transient, passed: float, left: float) -> None:
        """Say what is waited for: not each blip, and once for all requests that meet the same trouble."""
        now = self._clock.monotonic()
        if passed >= _TELL_AFTER and now - self._told_at >= _TELL_EVERY:
            self._told_at = now
            logger().warning("%s: %s: %s; trying for another %.0f s", self.name, error.what, error.why, left)

    async def _once(self, request: _Request) -> tuple[int, str]:
        what = f"cannot {request.what}"
        async with self._slots:
            try:
                response = await self._open(request)
                text = await response.text()
            except _LOST as lost:
                if not isinstance(lost, aiohttp.ClientConnectorError):
                    request.lost.append(_say(lost))
                    if not request.repeatable:
                        raise Unsure(what, why=_say(lost)) from None
                raise Transient(what, why=_say(lost), advice=f"check that {self.name} can be reached from where the flow runs") from None
        if 200 <= response.status < 300:
            return response.status, text
        error = translate(response.status, text, response.headers, request.what)
        if response.status >= 500:
            request.lost.append(error.why)
            if not request.repeatable:
                raise Unsure(error.what, why=error.why)
        raise error

    async def _open(self, request: _Request, limits: aiohttp.ClientTimeout = _USUAL_LIMITS) -> aiohttp.ClientResponse:
        client = self._client
        response = await self._ask(client, request, limits)
        if response.status != 401 or not await self._renewed(client):
            return response
        return await self._ask(self._client, request, limits)

    async def _renewed(self, client: ApiClient) -> bool:
        """Whether there is another client now, with new credentials."""
        if self._renew is None:
            return False
        async with self._renewing:
            if self._client is client:  # nobody else has renewed it meanwhile
                self._clients.append(prepared(await self._renew()))
                self._client = self._clients[-1]
        return True

    async def _ask(self, client: ApiClient, request: _Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        headers = {"Accept": request.accept} | ({"Content-Type": request.content_type} if request.body is not None else {})
        url, full_headers = await _addressed(client, request, headers)
        self.requests += 1
        answer = await client.call_api(request.method, url, full_headers, request.body, _request_timeout=limits)
        response: aiohttp.ClientResponse = answer.response
        return response


def prepared(client: ApiClient) -> ApiClient:
    """A new client, set up as we use it."""
    client.user_agent = MANAGER
    if urlsplit(client.configuration.host).hostname in ("localhost", "127.0.0.1", "::1"):
        client.configuration.client_session_kwargs = {"trust_env": False}  # a proxy leads nowhere near this machine; kubectl thinks so too
    return client


@dataclass(frozen=True)
class _Request:
    """A request, and what it is for: `what` ends the sentence "cannot ..."."""

    method: str
    path: str
    what: str
    query: Mapping[str, str] = field(default_factory=dict)  # empty values are left out
    body: Obj | None = None
    content_type: str = JSON
    accept: str = JSON
    repeatable: bool = True  # whether it may be sent again when nobody knows if it was carried out
    but_not: tuple[type[Transient], ...] = (Unsure, Expired)  # errors that are for the caller to deal with
    lost: list[str] = field(default_factory=list)  # attempts of which nobody knows


async def _addressed(client: ApiClient, request: _Request, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
    """A request's whole address, and its headers with the credentials."""
    asked = {key: value for key, value in request.query.items() if value}
    path = request.path + (f"?{urlencode(asked)}" if asked else "")
    _, url, full_headers, _, _ = await client.param_serialize(request.method, path, header_params=headers, auth_settings=["BearerToken"])
    return url, full_headers


def _say(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _loads(text: str) -> Obj:
    loaded = json.loads(text)
    if not isinstance(loaded, dict):
        raise Permanent("the API server answered JSON that is not an object", advice="check that the kubeconfig's server is a Kubernetes API server")
    return loaded


@asynccontextmanager
async def connected(cluster: str, *, at_once: int = 16) -> AsyncIterator[Connection]:
    """A connection to the cluster of the block with this name, closed at the end. Never to be put into a result or a parameter that is stored."""
    try:
        block: Cluster = await Cluster.aload(cluster)
    except ValueError as error:
        if "Unable to find" not in str(error):
            raise
        raise Permanent(f"there is no Cluster block named {cluster!r}", advice="save one, or run `make lab`, which saves `lab`") from None
    try:
        client = await block.client()
    except ClusterUnusable as error:
        raise Permanent(f"Cluster block {cluster!r} cannot be used", why=str(error), advice="correct the block in the UI under Blocks") from None
    connection = Connection(client, f"cluster {cluster!r}", renew=block.client, at_once=at_once)
    try:
        yield connection
    finally:
        await connection.close()
