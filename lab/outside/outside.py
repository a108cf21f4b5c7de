"""All the systems outside the cluster, as one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.clock import Clock
from lab.cluster import Cluster
from lab.faults import Faults
from lab.outside.cloudflare import ADMIN_TOKEN as CLOUDFLARE_TOKEN
from lab.outside.cloudflare import Cloudflare
from lab.outside.service import Service
from lab.outside.slack import ADMIN_TOKEN as SLACK_TOKEN
from lab.outside.slack import Slack
from lab.serving import Lifetime


class Outside:
    """The services, by name."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self.services: dict[str, Service] = {service.place: service for service in (Cloudflare(clock, faults), Slack(clock, faults))}
        self.tokens = {"cloudflare": CLOUDFLARE_TOKEN, "slack": SLACK_TOKEN}

    async def start(self, life: Lifetime, state: Path) -> None:
        """Serve all of them."""
        del state
        for name, service in self.services.items():
            service.url = await life.listen(await life.run_app(service.app()), name)

    def clusters(self) -> list[Cluster]:
        """Kubernetes clusters that have been made outside."""
        return []

    def addresses(self) -> dict[str, Any]:
        """What clients are told; empty before anything is served."""
        found: dict[str, Any] = {name: service.base_url for name, service in self.services.items() if service.url}
        return {**found, "tokens": self.tokens} if found else {}
