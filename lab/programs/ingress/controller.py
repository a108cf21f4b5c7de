"""ingress-nginx's controller: follows Ingresses through the Kubernetes API, serves them on 80 and 443, and tells them where they are reached.

It looks at a connection's first request (or at the name in its TLS hello) and then joins it to a pod; every connection carries one request, but for
web sockets and gRPC.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from lab.addresses import real_port
from lab.kubelet.endpoints import service_of
from lab.programs import curl
from lab.programs.certificates import make_pair
from lab.programs.in_cluster import ApiRefused, InCluster
from lab.programs.ingress.routing import Obj, Objects, Rule, Table
from lab.programs.listeners import Listeners
from lab.programs.program import Container
from lab.programs.webhooks import serve_webhook

_LIMIT = 1 << 16
_PAGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
_REASONS = {400: "Bad Request", 404: "Not Found", 308: "Permanent Redirect", 502: "Bad Gateway", 503: "Service Temporarily Unavailable"}
_COLLECTIONS = {
    "ingresses": "/apis/networking.k8s.io/v1/ingresses", "classes": "/apis/networking.k8s.io/v1/ingressclasses", "services": "/api/v1/services",
    "slices": "/apis/discovery.k8s.io/v1/endpointslices", "secrets": "/api/v1/secrets?fieldSelector=type%3Dkubernetes.io/tls",
}  # fmt: skip


class IngressNginx:
    """The image's program."""

    def __init__(self) -> None:
        self._table = Table("", "")
        self._publish: tuple[str, str] | None = None
        self._secrets: Objects = {}
        self._heard: set[str] = set()
        self._changed = asyncio.Event()
        self._contexts: dict[tuple[str, str, str, bool], ssl.SSLContext] = {}
        self._fake = make_pair(["ingress.local"])
        self._joined: set[asyncio.Task[Any]] = set()
        self._source = ("127.0.0.1", 0)

    async def execute(self, container: Container, argv: list[str], seconds: float) -> tuple[int, bytes]:
        """The image's own hook waits for nginx, which has nothing to finish here."""
        return (0, b"") if argv[:1] == ["/wait-shutdown"] else await curl.execute(container, argv, seconds)

    async def run(self, container: Container) -> int:
        """Serve until told to stop."""
        options = dict(word.removeprefix("--").partition("=")[::2] for word in container.argv if word.startswith("--"))
        self._table = Table(
            options.get("controller-class", "k8s.io/ingress-nginx"), options.get("ingress-class", "nginx"), "watch-ingress-without-class" in options
        )
        if "/" in options.get("publish-service", ""):
            namespace, _, name = options["publish-service"].partition("/")
            self._publish = namespace, name
        listeners, self._source = Listeners(container), container.source
        try:
            async with InCluster(container) as api:
                await listeners.serve_http(10254, self._health)
                if "validating-webhook" in options:
                    port = int(options["validating-webhook"].rpartition(":")[2])
                    certificate, key = (options.get(f"validating-webhook-{name}", "") for name in ("certificate", "key"))
                    await serve_webhook(container, listeners, port, certificate, key, self._judge)
                await listeners.serve_tcp(80, lambda: self._protocol(self._plain))
                await listeners.serve_tcp(443, lambda: self._protocol(self._secured), self._context_for(None, grpc=False, chooses=True))
                await self._follow(api, container)
        except (ApiRefused, aiohttp.ClientError, OSError) as error:
            container.log(f"F main.go: Error while initiating a connection to the Kubernetes API server: {error}")
            return 255
        finally:
            for task in self._joined:
                task.cancel()
            await listeners.close()
        return 0

    def _judge(self, request: Obj) -> str | None:
        """The admission webhook."""
        return self._table.refusal(request["object"]) if request.get("object") else None

    async def _follow(self, api: InCluster, container: Container) -> None:
        tasks = [asyncio.create_task(api.follow(path, self._hear(name))) for name, path in _COLLECTIONS.items()]
        tasks.append(asyncio.create_task(self._publish_always(api)))
        try:
            await container.stopping.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not self._others(container.ip):
            with contextlib.suppress(ApiRefused, aiohttp.ClientError, OSError):
                await self._tell(api, [])

    def _hear(self, name: str) -> Any:
        def heard(objects: Objects) -> None:
            if name == "secrets":
                self._secrets = objects
            else:
                setattr(self._table, name, objects)
            self._heard.add(name)
            self._changed.set()

        return heard

    async def _health(self, _request: web.BaseRequest) -> web.StreamResponse:
        ready = len(self._heard) == len(_COLLECTIONS)
        return web.Response(status=200 if ready else 500, text="ok" if ready else "not yet")

    # What ingresses are told

    async def _publish_always(self, api: InCluster) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(0.02)  # changes come together
            self._changed.clear()
            if self._publish is None or len(self._heard) < len(_COLLECTIONS):
                continue
            status = (self._table.services.get(self._publish) or {}).get("status") or {}
            addresses = [
                {key: one[key] for key in ("ip", "hostname") if key in one} for one in (status.get("loadBalancer") or {}).get("ingress") or ()
            ]
            with contextlib.suppress(ApiRefused, aiohttp.ClientError, OSError):
                await self._tell(api, addresses)

    async def _tell(self, api: InCluster, addresses: list[Obj]) -> None:
        for ingress in self._table.mine():
            meta = ingress["metadata"]
            told = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
            if told != addresses:
                path = f"/apis/networking.k8s.io/v1/namespaces/{meta['namespace']}/ingresses/{meta['name']}/status"
                with contextlib.suppress(ApiRefused):  # gone, or changed: that is heard of too
                    await api.call("PUT", path, ingress | {"status": {"loadBalancer": {"ingress": addresses} if addresses else {}}})

    def _others(self, own: str) -> bool:
        """Whether another pod goes on serving."""
        found = [one for one in self._table.slices.values() if self._publish in list(service_of(one))]
        return any(own not in endpoint["addresses"] for one in found for endpoint in one.get("endpoints") or ())

    # Connections

    @staticmethod
    def _protocol(connected: Any) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=_LIMIT), connected)

    def _context_for(self, host: str | None, grpc: bool, chooses: bool = False) -> ssl.SSLContext:
        """TLS for a host: with the certificate of its Secret, else with one that nobody trusts."""
        place = self._table.certificate(host) if host else None
        secret = self._secrets.get(place) if place else None
        version = secret["metadata"]["resourceVersion"] if secret else ""
        key = (*(place if secret and place else ("", "")), version, grpc)
        if key not in self._contexts or chooses:
            pair = tuple(base64.b64decode(secret["data"][name]) for name in ("tls.key", "tls.crt")) if secret else self._fake
            self._contexts[key] = _load(pair, "h2" if grpc else "http/1.1")
        if chooses:
            self._contexts[key].sni_callback = self._named
        return self._contexts[key]

    def _named(self, connection: ssl.SSLObject, host: str | None, _context: ssl.SSLContext) -> None:
        """The client has said which host it wants."""
        rule = self._table.find(host or "", "/")
        connection.context = self._context_for(host, grpc=bool(rule and rule.grpc))
        vars(connection)["wanted"] = rule if rule and rule.grpc else None

    async def _plain(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, secured=False)

    async def _secured(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wanted: Rule | None = vars(writer.get_extra_info("ssl_object")).get("wanted")
        if wanted is None:
            await self._serve(reader, writer, secured=True)
            return
        target = self._table.target(wanted)
        if target is None:
            writer.transport.abort()
            return
        await self._join(reader, writer, target, b"")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secured: bool) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path, host = _read(head)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            writer.close()
            return
        except ValueError:
            _answer(writer, 400)
            return
        rule = self._table.find(host.partition(":")[0], path.partition("?")[0])
        if rule is None:
            _answer(writer, 404)
        elif rule.redirect and not secured:
            _answer(writer, 308, f"Location: https://{host.partition(':')[0]}{path}\r\n")
        else:
            target = self._table.target(rule)
            if target is None:
                _answer(writer, 503)
            else:
                peer = (writer.get_extra_info("peername") or ("",))[0]
                await self._join(reader, writer, target, _forwarded(head, peer, host, secured))

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: tuple[str, int], head: bytes) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(target[0], real_port(target[1]), local_addr=self._source)
        except OSError:
            _answer(writer, 502)
            return
        inner_writer.write(head)
        tasks = {asyncio.create_task(_pour(reader, inner_writer)), asyncio.create_task(_pour(inner_reader, writer))}
        self._joined |= tasks
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._joined -= tasks
            for one in (writer, inner_writer):
                one.close()


def _read(head: bytes) -> tuple[str, str]:
    """Path and host of a request; ValueError for what is none."""
    first, *lines = head.decode("latin-1").split("\r\n")
    _, path, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    return path, headers.get("host", "")


def _forwarded(head: bytes, peer: str, host: str, secured: bool) -> bytes:
    """The request as the pod gets it. Its connection ends with it, unless it is for a web socket."""
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    names = [line.partition(b":")[0].strip().lower() for line in lines]
    upgrade = b"upgrade" in names
    kept = [line for line, name in zip(lines, names, strict=True) if upgrade or name not in (b"connection", b"keep-alive")]
    scheme = "https" if secured else "http"
    more = [f"X-Forwarded-For: {peer}", f"X-Forwarded-Host: {host}", f"X-Forwarded-Proto: {scheme}", f"X-Real-IP: {peer}", f"X-Scheme: {scheme}"]
    return b"\r\n".join([*kept, *(line.encode() for line in more), *([] if upgrade else [b"Connection: close"])]) + b"\r\n\r\n"


def _answer(writer: asyncio.StreamWriter, status: int, headers: str = "") -> None:
    """One of nginx's own pages."""
    title = f"{status} {_REASONS[status]}"
    body = _PAGE.format(title)
    head = f"HTTP/1.1 {title}\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n"
    with contextlib.suppress(ConnectionError):
        writer.write((head + body).encode())
        writer.close()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """From one side to the other until the first one ends."""
    try:
        while data := await reader.read(_LIMIT):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()
    except ConnectionError:
        writer.close()


def _load(pair: tuple[bytes, ...], protocol: str) -> ssl.SSLContext:
    """Python's ssl reads keys from files only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join(pair))
        file.flush()
        with contextlib.suppress(ssl.SSLError):  # a Secret that holds no certificate: the handshake fails
            context.load_cert_chain(Path(file.name))
    context.set_alpn_protocols([protocol])
    return context
