"""proxy: HTTP requests passed on to a pod, to a pod behind a service, or to a node."""

from __future__ import annotations

import random
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from lab.addresses import real_port
from lab.kubernetes.call import Call
from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kinds import ENDPOINT_SLICE, NODE, SERVICE, Kind
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
    "content-encoding",
}  # fmt: skip
_NOT_ADDED = ("User-Agent", "Accept", "Content-Type")
_OURS = {"host", "authorization", "accept-encoding"}
_LONGEST = 60.0  # real seconds without a sign of life


async def pass_on(registry: Registry, kind: Kind, call: Call) -> web.StreamResponse:
    """Send the request on and the answer back. The client's own token stays here."""
    path = call.request.raw_path.partition("/proxy")[2]
    if not path.startswith("/"):  # links in what is answered are relative
        where = call.request.rel_url.raw_path + "/"
        return web.Response(status=301, headers={"Location": where + (f"?{call.request.query_string}" if call.request.query_string else "")})
    scheme, host, port = _target(registry, kind, call)
    connector = aiohttp.TCPConnector(local_addr=_own_address(registry), ssl=False)
    url = URL(f"{scheme}://{host}:{real_port(int(port)) if port.isdecimal() else port}{path}", encoded=True)
    headers = CIMultiDict((name, value) for name, value in call.request.headers.items() if name.lower() not in _HOP | _OURS)
    headers["X-Forwarded-Uri"] = call.request.rel_url.raw_path
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_LONGEST)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False, skip_auto_headers=_NOT_ADDED) as session,
            session.request(call.method, url, headers=headers, data=call.body or None, allow_redirects=False) as answer,
        ):
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP or name.lower() == "content-encoding":
                    response.headers.add(name, value)
            await response.prepare(call.request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response
    except aiohttp.ClientConnectorError as error:
        why = "connect: connection refused" if isinstance(error.os_error, ConnectionRefusedError) else str(error.os_error)
        raise _unavailable(f"error trying to reach service: dial tcp {host}:{port}: {why}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        why = "i/o timeout" if isinstance(error, TimeoutError) else "EOF"
        raise _unavailable(f"error trying to reach service: {why}") from error


def _target(registry: Registry, kind: Kind, call: Call) -> tuple[str, str, str]:
    """Scheme, address and port of `name`, `name:port` or `scheme:name:port`."""
    parts = call.target.name.split(":")
    if len(parts) > 3 or (len(parts) == 3 and parts[0] not in ("http", "https", "")):
        raise bad_request(f'invalid {kind.kind.lower()} request "{call.target.name}"')
    scheme, name, port = (parts[0] or "http", *parts[1:]) if len(parts) == 3 else ("http", parts[0], parts[1] if len(parts) == 2 else "")
    obj = registry.get(kind, call.target.namespace, name)
    if kind is SERVICE:
        return (scheme, *_endpoint(registry, obj, port))
    if kind is NODE:
        address = next(one["address"] for one in obj["status"]["addresses"] if one["type"] == "InternalIP")
        return scheme, address, port or "10250"
    address = (obj.get("status") or {}).get("podIP", "")
    if not address:
        raise ApiError(400, f"address not allowed: pod {name} has no address", "BadRequest")
    return scheme, address, _pod_port(obj, port)


def _own_address(registry: Registry) -> tuple[str, int] | None:
    """Where the request comes from, as its receiver sees it: the first node, which is where an API server stands."""
    nodes = registry.list(NODE)
    addresses = [one["address"] for node in nodes[:1] for one in (node.get("status") or {}).get("addresses") or () if one["type"] == "InternalIP"]
    return (addresses[0], 0) if addresses else None


def _pod_port(pod: Obj, port: str) -> str:
    """Without a port it is the first one that a container names."""
    first = next((one for container in pod["spec"]["containers"] for one in container.get("ports") or ()), None)
    return port or (str(first["containerPort"]) if first else "80")


def _endpoint(registry: Registry, service: Obj, port: str) -> tuple[str, str]:
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    ports = service["spec"].get("ports") or []
    wanted = next((one for one in ports if port in (str(one["port"]), one.get("name"))), ports[0] if ports and not port else None)
    if wanted is None:
        raise _unavailable(f'no service port "{port}" found for service "{name}"')
    found = [
        (endpoint["addresses"][0], str(one["port"]))
        for slice_ in registry.list(ENDPOINT_SLICE, namespace, {"kubernetes.io/service-name": name})
        for endpoint in slice_.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready", True)
        for one in slice_.get("ports") or ()
        if one.get("name", "") == wanted.get("name", "") and one.get("port")
    ]
    if not found:
        raise _unavailable(f'no endpoints available for service "{name}"')
    return random.choice(found)  # noqa: S311


def _unavailable(message: str) -> ApiError:
    return ApiError(503, message, "ServiceUnavailable")
