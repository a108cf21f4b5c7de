"""All the systems outside the cluster, as one thing."""

from __future__ import annotations

from typing import Any

from lab.clock import Clock
from lab.faults import Faults
from lab.outside.cloudflare import ADMIN_TOKEN as CLOUDFLARE_TOKEN
from lab.outside.cloudflare import Cloudflare
from lab.outside.service import Service
from lab.outside.slack import ADMIN_TOKEN as SLACK_TOKEN
from lab.outside.slack import Slack


class Outside:
    """The services, by name."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self.services: dict[str, Service] = {service.place: service for service in (Cloudflare(clock, faults), Slack(clock, faults))}
        self.tokens = {"cloudflare": CLOUDFLARE_TOKEN, "slack": SLACK_TOKEN}

    def addresses(self) -> dict[str, Any]:
        """What clients are told; empty before anything is served."""
        found: dict[str, Any] = {name: service.base_url for name, service in self.services.items() if service.url}
        return {**found, "tokens": self.tokens} if found else {}
