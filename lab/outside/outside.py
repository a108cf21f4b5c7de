"""All the systems outside the cluster, as one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.clock import Clock
from lab.cluster import Cluster
from lab.faults import Faults
from lab.outside import charts, cloudflare, github, google, slack
from lab.outside.compute import Compute
from lab.outside.disks import Disks
from lab.outside.fleet import Fleet
from lab.outside.gke import Gke
from lab.outside.service import Service
from lab.serving import Lifetime

TOKENS = {"cloudflare": cloudflare.ADMIN_TOKEN, "slack": slack.ADMIN_TOKEN, "github": github.ADMIN_TOKEN, "google": google.ADMIN_TOKEN}


class Outside:
    """The services, by name."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        accounts, disks = google.Accounts(), Disks(clock)
        self.fleet = Fleet(clock, faults, accounts, disks)
        made: tuple[Service, ...] = (
            cloudflare.Cloudflare(clock, faults), slack.Slack(clock, faults), github.Github(clock, faults),
            Gke(clock, faults, accounts, self.fleet), Compute(clock, faults, accounts, disks), charts.Charts(clock, faults),
        )  # fmt: skip
        self.services = {service.place: service for service in made}

    async def start(self, life: Lifetime, state: Path) -> None:
        """Serve all of them. `state`: where what they make may have files."""
        self.fleet.state = state / "gke"
        life.at_end(self.fleet.stop)
        for name, service in self.services.items():
            service.url = await life.listen(await life.run_app(service.app()), name)

    def clusters(self) -> dict[str, Cluster]:
        """Kubernetes clusters that have been made outside, by name."""
        return {cluster.name: cluster.cluster for cluster in self.fleet.clusters.values() if cluster.cluster.tls_url}

    def addresses(self) -> dict[str, Any]:
        """What clients are told; empty before anything is served."""
        found: dict[str, Any] = {name: service.base_url for name, service in self.services.items() if service.url}
        return {**found, "tokens": TOKENS} if found else {}
