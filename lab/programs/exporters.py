"""What stands beside Prometheus and only has to be well: exporters, agents, and the operator's little helpers."""

from __future__ import annotations

from aiohttp import web

from lab.programs.http_program import Answer, HttpProgram
from lab.programs.listeners import Listeners
from lab.programs.program import Container


class Exporter(HttpProgram):
    """Answers every request on its ports: no metrics, but well."""

    ports: tuple[int, ...] = (8080,)

    async def listen(self, container: Container, listeners: Listeners) -> None:
        """All of its ports."""
        for port in self.ports:
            await listeners.serve_http(port, self.serve)

    async def serve(self, request: web.BaseRequest) -> Answer:
        """Anything."""
        return web.Response(text="" if request.path == "/metrics" else "OK\n")


class KubeStateMetrics(Exporter):
    """Metrics on 8080, its own on 8081."""

    ports = (8080, 8081)


class NodeExporter(Exporter):
    """On the node's own address."""

    ports = (9100,)


class Alloy(Exporter):
    """Grafana's agent."""

    ports = (12345,)


class ConfigReloader(Exporter):
    """Beside Prometheus and Alertmanager."""

    ports = (8081,)
