"""Chaos Mesh: its controller takes experiments, and does none of them."""

from __future__ import annotations

from lab.programs.exporters import Exporter
from lab.programs.listeners import Listeners
from lab.programs.program import Container
from lab.programs.webhooks import serve_webhook

_CERTIFICATES = "/etc/webhook/certs"


class ChaosController(Exporter):
    """chaos-controller-manager: its webhooks agree to every experiment; health on 10080 and 10081."""

    ports = (10080, 10081)

    async def listen(self, container: Container, listeners: Listeners) -> None:
        """Health, and webhooks where WEBHOOK_PORT says."""
        await super().listen(container, listeners)
        port = int(container.env.get("WEBHOOK_PORT", "10250"))
        await serve_webhook(container, listeners, port, f"{_CERTIFICATES}/tls.crt", f"{_CERTIFICATES}/tls.key", lambda _request: None)


class ChaosDashboard(Exporter):
    """The page of experiments."""

    ports = (2333,)


class ChaosDaemon(Exporter):
    """One on every node."""

    ports = (31766, 31767)
