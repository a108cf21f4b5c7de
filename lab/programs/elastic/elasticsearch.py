"""A small Elasticsearch node: who may ask, how the cluster is, and its documents. Settings come from config/elasticsearch.yml and, stronger, from the
environment, as its image takes them.

Nodes of one cluster share everything; a replica needs a second node, so an index with the usual one replica makes a single node yellow.
Lifecycle policies delete when the lab's time says so. Not there: scoring, analysis, aggregations, scrolling, data streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
import ssl
from typing import Any

import yaml
from aiohttp import web
from cryptography.hazmat.primitives.serialization import pkcs12

from lab.programs.elastic.api import Api, show_error
from lab.programs.elastic.cluster import ElasticCluster
from lab.programs.elastic.indices import ElasticError, flat_settings
from lab.programs.http_program import Answer, HttpProgram, basic
from lab.programs.listeners import Listeners
from lab.programs.monitoring import image_version
from lab.programs.program import Container, wait

_HOME = "/usr/share/elasticsearch"
_POLL = 600.0  # lab seconds between looks at lifecycles
_REALM = 'Basic realm="security" charset="UTF-8"'


class ConfigurationError(Exception):
    """The node does not start; says why."""


class Elasticsearch(HttpProgram):
    """The image's program."""

    def __init__(self) -> None:
        super().__init__()
        self._settings: dict[str, Any] = {}
        self._cluster: ElasticCluster | None = None
        self._api: Api | None = None
        self._node = self._password = ""
        self._secure = False
        self._tls: ssl.SSLContext | None = None

    async def run(self, container: Container) -> int:
        """The node, or one of the image's other commands."""
        command = posixpath.basename(container.argv[0]) if container.argv else ""
        if command == "sysctl":
            container.log(container.argv[-1].replace("=", " = "))
            return 0
        return await super().run(container)

    async def started(self, container: Container) -> bool:
        """Read the configuration and join the cluster."""
        try:
            self._settings = read_settings(container)
            version = image_version(container.image)
            self._node = str(self._settings.get("node.name") or container.hostname)
            self._password = container.env.get("ELASTIC_PASSWORD", "")
            self._secure = _on(self._settings.get("xpack.security.enabled"), not version.startswith("7."))
            self._tls = self._security(container)
        except (ConfigurationError, OSError, ValueError) as error:
            container.log(f'{{"type": "server", "level": "ERROR", "component": "o.e.b.Bootstrap", "message": "Exception {error}"}}')
            return False
        masters = self._settings.get("cluster.initial_master_nodes") or ""
        names = masters if isinstance(masters, list) else [name.strip() for name in str(masters).split(",") if name.strip()]
        data = container.path(f"{_HOME}/data")
        self._cluster = ElasticCluster.join(container, str(self._settings.get("cluster.name") or "docker-cluster"), self._node, names, data)
        self._api = Api(self._cluster, self._node, version, container.env.get("ELASTIC_USERNAME", "elastic"))
        container.log(f'{{"type": "server", "level": "INFO", "component": "o.e.n.Node", "node.name": "{self._node}", "message": "started"}}')
        return True

    def _security(self, container: Container) -> ssl.SSLContext | None:
        """Check what security needs; TLS for HTTP if that is asked for."""
        if not self._secure:
            return None
        transport, http = "xpack.security.transport.ssl", "xpack.security.http.ssl"
        if not _on(self._settings.get(f"{transport}.enabled"), False) and self._settings.get("discovery.type") != "single-node":
            advice = f"Please set [{transport}.enabled] to [true] or disable security by setting [xpack.security.enabled] to [false]"
            raise ConfigurationError(f"bootstrap checks failed: Transport SSL must be enabled if security is enabled. {advice}")
        for layer in (transport, http):
            if _on(self._settings.get(f"{layer}.enabled"), False):
                self._check_keystore(container, layer)
        if not _on(self._settings.get(f"{http}.enabled"), False):
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        names = [self._file(container, self._settings.get(f"{http}.{what}") or "") for what in ("certificate", "key")]
        context.load_cert_chain(*names)
        return context

    def _check_keystore(self, container: Container, layer: str) -> None:
        """A PKCS#12 keystore has to be there, and to open."""
        place = self._settings.get(f"{layer}.keystore.path")
        if not place:
            if not self._settings.get(f"{layer}.certificate"):
                raise ConfigurationError(f"invalid SSL configuration for {layer} - server ssl configuration requires a key and certificate")
            return
        password = str(self._settings.get(f"{layer}.keystore.password", ""))
        what = f"failed to load SSL configuration [{layer}] - cannot read configured [PKCS12] keystore [{place}]"
        try:
            content = container.path(self._file_inside(str(place))).read_bytes()
        except OSError:
            raise ConfigurationError(f"{what} because the file does not exist") from None
        try:
            pkcs12.load_key_and_certificates(content, password.encode() or None)
        except ValueError:
            raise ConfigurationError(f"{what} - this is usually caused by an incorrect password") from None

    @staticmethod
    def _file_inside(name: str) -> str:
        return posixpath.join(f"{_HOME}/config", name)

    def _file(self, container: Container, name: str) -> str:
        return str(container.path(self._file_inside(str(name))))

    async def listen(self, container: Container, listeners: Listeners) -> None:
        """HTTP, and the transport port that other nodes would use."""
        await listeners.serve_http(int(self._settings.get("http.port", 9200)), self.serve, self._tls)
        await listeners.serve_tcp(int(self._settings.get("transport.port", 9300)), asyncio.Protocol)

    async def work(self, container: Container) -> None:
        """Let lifecycles go on."""
        assert self._cluster is not None
        while not container.stopping.is_set():
            await wait(container.stopping, max(0.2, container.clock.real(_POLL)))
            for name in self._cluster.tick():
                container.log(f'{{"type": "server", "level": "INFO", "component": "o.e.x.i.IndexLifecycleRunner", "message": "deleted [{name}]"}}')

    async def ended(self, container: Container) -> None:
        """Leave the cluster."""
        if self._cluster is not None:
            with contextlib.suppress(OSError):  # the disk may be gone already
                self._cluster.leave(self._node, container.path(f"{_HOME}/data"))

    async def serve(self, request: web.BaseRequest) -> Answer:
        """One request, if whoever asks may."""
        assert self._api is not None
        try:
            if self._secure:
                self._check(request)
            return await self._api.answer(request)
        except ElasticError as error:
            return show_error(error, request)

    def _check(self, request: web.BaseRequest) -> None:
        assert self._cluster is not None
        path, given = request.path_qs, basic(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if given and given[0] == "elastic" and self._password and given[1] == self._password:
            return
        if scheme.lower() == "bearer" and token.strip() in self._cluster.holdings.tokens.values():
            return
        what = f"unable to authenticate user [{given[0]}]" if given else "missing authentication credentials"
        raise ElasticError(401, "security_exception", f"{what} for REST request [{path}]", header={"WWW-Authenticate": _REALM})


def read_settings(container: Container) -> dict[str, Any]:
    """The configuration file and the environment's names with dots, flat."""
    file = container.path(f"{_HOME}/config/elasticsearch.yml")
    try:
        found = yaml.safe_load(file.read_text()) if file.is_file() else {}
    except yaml.YAMLError as error:
        raise ConfigurationError(f"Failed to load settings from [elasticsearch.yml]: {error}") from None
    if not isinstance(found or {}, dict):
        raise ConfigurationError("Failed to load settings from [elasticsearch.yml]: not a mapping")
    settings = flat_settings(found or {})
    return settings | {name: value for name, value in container.env.items() if "." in name and name.islower()}


def _on(value: Any, otherwise: bool) -> bool:
    return otherwise if value is None else str(value).lower() == "true"
