"""The sockets of one container: opened on the pod's address, closed together, with every connection that came through them."""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import grpclib.server
from aiohttp import web
from grpclib.const import Cardinality, Handler, Status
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol

from lab.addresses import real_port
from lab.programs.program import Container, Partitions

HttpHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Methods(dict[str, Handler]):
    """A server's methods. Those it does not have answer in Go's words, and in a form that Go's clients take (grpclib leaves out the content type)."""

    def get(self, path: str, default: Any = None) -> Any:
        return super().get(path) or Handler(_unimplemented(path, self), Cardinality.UNARY_UNARY, bytes, bytes)


def _unimplemented(path: str, methods: dict[str, Handler]) -> Callable[[Any], Awaitable[None]]:
    service, _, method = path.lstrip("/").rpartition("/")
    known = any(other.startswith(f"/{service}/") for other in methods)
    problem = f"unknown method {method} for service {service}" if known else f"unknown service {service}"

    async def refuse(_stream: Any) -> None:
        raise GRPCError(Status.UNIMPLEMENTED, problem)

    return refuse


class _Door(asyncio.Protocol):
    """Lets a connection in to the protocol that it is for, unless a partition stands between."""

    def __init__(self, factory: Callable[[], asyncio.Protocol], partitions: Partitions) -> None:
        self._factory = factory
        self._partitions = partitions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand it over."""
        protocol = self._factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        here, there = (transport.get_extra_info(name) for name in ("sockname", "peername"))
        if here and there:
            self._partitions.watch(transport, there[0], here[0])


class _GrpcServer(grpclib.server.Server):
    """grpclib leaves open connections alone when it closes; a container that ends takes them with it."""

    def __init__(self, services: list[Any], partitions: Partitions | None) -> None:
        super().__init__(services)
        self._partitions = partitions
        self._mapping = _Methods(self._mapping)
        self._protocols: weakref.WeakSet[H2Protocol] = weakref.WeakSet()

    def _protocol_factory(self) -> Any:
        return _Door(self._new_protocol, self._partitions) if self._partitions else self._new_protocol()

    def _new_protocol(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self._protocols.add(protocol)
        return protocol

    def close(self) -> None:
        super().close()
        for protocol in list(self._protocols):
            if hasattr(protocol, "processor"):
                protocol.connection.close()


class Listeners:
    """What a container listens on. `OSError` from the `serve_` functions means that the port is taken."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._grpc: list[_GrpcServer] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._webs: list[web.Server] = []

    async def serve_tcp(self, port: int, factory: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None = None) -> None:
        """TCP; the factory's protocols close their own connections."""
        loop, partitions = asyncio.get_running_loop(), self._container.partitions
        door = (lambda: _Door(factory, partitions)) if partitions else factory
        self._servers.append(await loop.create_server(door, self._container.ip, real_port(port), ssl=tls))

    async def serve_http(self, port: int, handler: HttpHandler, tls: ssl.SSLContext | None = None) -> None:
        """HTTP/1.1. A low-level server: a web application per port of hundreds of pods would cost much more."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            await self._hang()
            return await handler(request)

        server: web.Server = web.Server(handle, access_log=None)
        await self.serve_tcp(port, server, tls)
        self._webs.append(server)

    async def serve_grpc(self, port: int, services: list[Any]) -> None:
        """gRPC in pure Python: a hundred servers take 8 MB and no thread; grpcio's take 18 MB and 7 threads beside the loop."""
        server = _GrpcServer(services, self._container.partitions)
        listen(server, RecvRequest, self._hang)
        await server.start(self._container.ip, real_port(port))
        self._grpc.append(server)

    async def _hang(self, _event: RecvRequest | None = None) -> None:
        """A program that hangs takes connections and requests, and answers nobody."""
        if self._container.hanging.is_set():
            await asyncio.Event().wait()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        for listener in self._servers:
            listener.close()
        for server in self._grpc:
            server.close()
        for http in self._webs:
            await http.shutdown(timeout=0.1)
        self._servers, self._grpc, self._webs = [], [], []
